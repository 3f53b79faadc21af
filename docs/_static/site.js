/* The theme's buttons that open a part of the sidebar have no name; a screen reader needs one. */
document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll(".bd-sidebar-primary summary")) {
    const link = button.closest("li")?.querySelector("a");
    button.setAttribute("aria-label", `Pages below ${link ? link.textContent.trim() : "this page"}`);
  }
});
