// Links claims and places, steps through rows and claims by key. Every page can be read without it.
"use strict";
const all = (selector) => [...document.querySelectorAll(selector)];
const one = (selector) => document.querySelector(selector);
const store = {
  get: (name) => { try { return localStorage.getItem(name); } catch { return null; } },
  set: (name, value) => { try { localStorage.setItem(name, value); } catch { /* private windows store nothing */ } },
};

document.documentElement.classList.add("scripted");

// Light and dark
const themeButton = one("#theme");
function showTheme(theme) {
  document.documentElement.dataset.theme = theme;
  themeButton.textContent = theme === "dark" ? "Light" : "Dark";
}
themeButton.hidden = false;
showTheme(store.get("theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
themeButton.addEventListener("click", () => {
  showTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  store.set("theme", document.documentElement.dataset.theme);
});

// A choice in a filter applies at once
all("form.filters select").forEach((select) => select.addEventListener("change", () => select.form.requestSubmit()));
all("form.filters").forEach((form) => form.addEventListener("submit", () => {
  for (const field of form.elements) if (field.name && !field.value) field.disabled = true; // short addresses
}));

// In a report: the rows that have a text
const find = one("#find");
if (find) {
  find.hidden = false;
  const lines = all("table.rows tbody tr").map((line) => [line, line.textContent.toLowerCase()]);
  find.addEventListener("submit", (event) => event.preventDefault());
  one("#find-text").addEventListener("input", (event) => {
    const text = event.target.value.trim().toLowerCase();
    lines.forEach(([line, words]) => { line.hidden = !words.includes(text); });
    const left = lines.filter(([line]) => !line.hidden).length;
    one(".count").textContent = `${left.toLocaleString("en")} ${left === 1 ? "row" : "rows"}`;
  });
}

// Claims and places
const claims = all(".claim");
const svgNames = "http://www.w3.org/2000/svg";
let thread = null;
let chosen = -1;
const numbersOf = (element) => element.dataset.claims.split(" ");
const shareClaim = (numbers) => all(".text [data-claims]").filter((e) => numbersOf(e).some((n) => numbers.includes(n)));

function clear() {
  all(".text .on").forEach((element) => element.classList.remove("on"));
  thread?.remove();
  thread = null;
}

function isWithin(box, pane) {
  return box.bottom > pane.top && box.top < pane.bottom;
}

function drawThread(claim, place) {
  const [from, to] = [claim.getClientRects()[0], [...place.getClientRects()].at(-1)];
  const panes = [claim.closest(".sheet"), place.closest(".sheet")].map((pane) => pane.getBoundingClientRect());
  if (panes[0].left <= panes[1].left || !isWithin(from, panes[0]) || !isWithin(to, panes[1])) return;
  const [x1, y1, x2, y2] = [from.left - 3, (from.top + from.bottom) / 2, to.right + 3, (to.top + to.bottom) / 2];
  const bend = Math.max(40, (x1 - x2) / 2);
  thread = document.createElementNS(svgNames, "svg");
  thread.setAttribute("class", "thread");
  thread.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(svgNames, "path");
  path.setAttribute("class", [...claim.classList].find((name) => name !== "claim" && name !== "on"));
  path.setAttribute("d", `M${x1},${y1} C${x1 - bend},${y1} ${x2 + bend},${y2} ${x2},${y2}`);
  thread.append(path);
  document.body.append(thread);
}

function show(numbers, { scroll }) {
  clear();
  const linked = shareClaim(numbers);
  linked.forEach((element) => element.classList.add("on"));
  const claim = linked.find((element) => element.matches(".claim"));
  const place = linked.find((element) => element.matches("mark"));
  if (scroll) linked.filter((element) => element === claim || element === place).forEach((element) => scrollTo(element));
  if (claim && place) drawThread(claim, place);
}

function scrollTo(element) {
  const pane = element.closest(".sheet");
  if (pane.scrollHeight > pane.clientHeight + 1) {
    const [box, frame] = [element.getBoundingClientRect(), pane.getBoundingClientRect()];
    if (box.top < frame.top + 30 || box.bottom > frame.bottom - 30) {
      pane.scrollTo({ top: pane.scrollTop + box.top - frame.top - frame.height / 3, behavior: "instant" });
    }
  } else if (!isWithin(element.getBoundingClientRect(), { top: 0, bottom: innerHeight })) {
    element.scrollIntoView({ block: "center", behavior: "instant" });
  }
}

function choose(index) {
  const open = claims.filter((claim) => !claim.classList.contains("off"));
  if (!open.length) return;
  chosen = (index + open.length) % open.length;
  open[chosen].focus({ preventScroll: true });
  show(numbersOf(open[chosen]), { scroll: true });
}

all(".text [data-claims]").forEach((element) => {
  element.addEventListener("mouseenter", () => show(numbersOf(element), { scroll: false }));
  element.addEventListener("mouseleave", clear);
});
claims.forEach((claim, index) => {
  claim.addEventListener("focus", () => { chosen = index; show(numbersOf(claim), { scroll: true }); });
  claim.addEventListener("blur", clear);
  claim.addEventListener("click", (event) => {
    event.preventDefault();
    claim.focus();
    show(numbersOf(claim), { scroll: true });
  });
});
all(".text mark").forEach((mark) => mark.addEventListener("click", () => choose(Number(numbersOf(mark)[0]) - 1)));
all(".sheet").forEach((pane) => pane.addEventListener("scroll", () => { thread?.remove(); thread = null; }));
all("table.claims a").forEach((link) => link.addEventListener("click", (event) => {
  event.preventDefault();
  one(link.getAttribute("href"))?.focus();
}));
const openTarget = () => { const row = location.hash.startsWith("#why-") && one(location.hash); if (row) row.closest("details").open = true; };
addEventListener("hashchange", openTarget);
openTarget();

// Which kinds are marked
const kindButtons = all(".legend [data-kind]");
function apply() {
  const off = kindButtons.filter((button) => button.ariaPressed === "false").map((button) => button.dataset.kind);
  all(".text [data-claims]").forEach((e) => e.classList.toggle("off", off.some((kind) => e.classList.contains(kind))));
  document.body.classList.toggle("dimmed", one("#dim")?.ariaPressed === "true");
  store.set("off", off.join(" "));
  store.set("dim", one("#dim")?.ariaPressed ?? "true");
}
function press(button, isOn) { if (button) button.ariaPressed = String(isOn ?? button.ariaPressed !== "true"); apply(); }
if (kindButtons.length) {
  const off = (store.get("off") || "").split(" ");
  kindButtons.forEach((button) => { button.ariaPressed = String(!off.includes(button.dataset.kind)); });
  one("#dim").ariaPressed = store.get("dim") ?? "true";
  apply();
}
[...kindButtons, one("#dim")].filter(Boolean).forEach((button) => button.addEventListener("click", () => press(button)));
function toggleSupportedOnly() {
  const only = kindButtons.some((button) => button.dataset.kind !== "supported" && button.ariaPressed === "true");
  kindButtons.forEach((button) => press(button, !only || button.dataset.kind === "supported"));
}

// Keys
const follow = (selector) => one(selector)?.click();
const keys = {
  j: () => follow(".steps [rel=next], .pager [rel=next]"), ArrowRight: () => follow(".steps [rel=next], .pager [rel=next]"),
  k: () => follow(".steps [rel=prev], .pager [rel=prev]"), ArrowLeft: () => follow(".steps [rel=prev], .pager [rel=prev]"),
  c: () => choose(chosen + 1), C: () => choose(chosen < 0 ? -1 : chosen - 1), s: toggleSupportedOnly, d: () => press(one("#dim")),
  r: () => one("#rating input, #rating textarea")?.focus(), l: () => follow(".site nav a:nth-of-type(2)"), "?": () => one("#keys")?.showModal(),
};
addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input:not([type=radio]), textarea, select") || event.ctrlKey || event.metaKey || event.altKey;
  if (isTyping || one("dialog[open]") || !keys[event.key] || (event.target.type === "radio" && event.key.startsWith("Arrow"))) return;
  event.preventDefault();
  keys[event.key]();
});
