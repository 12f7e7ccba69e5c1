// Code that is wider than the page can be scrolled with the keyboard as well.
document.addEventListener("DOMContentLoaded", () => {
  for (const block of document.querySelectorAll("pre, .cell_output")) block.tabIndex = 0;
});
