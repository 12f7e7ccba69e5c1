document.addEventListener("DOMContentLoaded", () => {
  // Code that is wider than the page can be scrolled with the keyboard as well.
  for (const block of document.querySelectorAll("pre, .cell_output")) block.tabIndex = 0;
  // The theme has two side bars: those who hear the page tell them apart by name.
  const names = { ".sidebar-drawer": "All pages", ".toc-drawer": "On this page" };
  for (const [bar, name] of Object.entries(names)) document.querySelector(bar)?.setAttribute("aria-label", name);
});
