// What the server can't know: the reader's clock, and whether the console still answers.
"use strict";

const BEAT_MS = 2000;
const SILENT_MS = 3 * BEAT_MS;
const LOG_PARTS = 1500;

// Ages, durations and countdowns, as show.py writes them.
function ticking(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
}

function age(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return null; // the time of day says more
}

function say(element, text) {
  if (text !== null && element.textContent !== text) element.textContent = text;
}

function tick() {
  const now = Date.now() / 1000;
  for (const each of document.querySelectorAll("[data-age]")) say(each, age(now - each.dataset.age));
  for (const each of document.querySelectorAll("[data-since]")) say(each, ticking(now - each.dataset.since));
  for (const each of document.querySelectorAll("[data-until]")) say(each, ticking(each.dataset.until - now));
}

// The connection. Each stream beats; silence is said.
let heard = 0;

function connection() {
  const shown = document.querySelector("[data-connection]");
  if (!shown || !document.getElementById("live")) return;
  const silent = Date.now() - heard;
  const state = heard === 0 ? "opening" : silent < SILENT_MS ? "on" : "off";
  document.documentElement.dataset.stream = state;
  const words = { opening: "connecting …", on: "live", off: "the console does not answer" };
  say(shown.querySelector(".words"), words[state]);
}

function hear() {
  heard = Date.now();
  connection();
}

// A log follows its end unless the reader has scrolled up.
function follow(log) {
  while (log.childNodes.length > LOG_PARTS) log.firstChild.remove();
  if (log.dataset.held !== "yes") log.scrollTop = log.scrollHeight;
}

document.addEventListener("beat", hear);
document.addEventListener("htmx:sse:after:message", (event) => {
  hear();
  tick();
  const log = event.target.closest?.("[data-log]");
  if (log) follow(log);
});
document.addEventListener("scroll", (event) => {
  const log = event.target;
  if (log.dataset && "log" in log.dataset)
    log.dataset.held = log.scrollHeight - log.scrollTop - log.clientHeight > 40 ? "yes" : "no";
}, true);
document.addEventListener("visibilitychange", () => { if (!document.hidden) heard = 0; });

tick();
connection();
setInterval(() => { tick(); connection(); }, 1000);
