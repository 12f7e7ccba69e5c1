"""Small reusable functions of the course; import the module that holds what you need."""
