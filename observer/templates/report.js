"use strict";
// Each form of filters hides what does not fit among the items that it governs, and says how many are left.
for (const form of document.querySelectorAll("form.filters")) {
  const items = [...document.getElementById(form.dataset.governs).querySelectorAll("[data-item]")];
  const told = form.querySelector("output");
  const apply = () => {
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter((word) => word);
    const chosen = [...form.querySelectorAll("select")].filter((select) => select.value);
    let shown = 0;
    for (const item of items) {
      const text = item.textContent.toLowerCase();
      const fits = words.every((word) => text.includes(word))
        && chosen.every((select) => item.dataset[select.name] === select.value);
      item.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    told.textContent = `${shown} of ${items.length}`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
}
// A link to a finding opens it; paper shows everything.
const reveal = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target && target.tagName === "DETAILS") { target.open = true; }
};
addEventListener("hashchange", reveal);
reveal();
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) { details.open = true; }
});
