// What a page does besides htmx: the token of forms, the state of the connection, times, and keys.
"use strict";

(() => {
  const token = () => document.querySelector('meta[name="csrf"]')?.content ?? "";

  // Forms that have come since the page was loaded have an empty token.
  document.addEventListener("submit", (event) => {
    const field = event.target.querySelector('input[name="csrf"]');
    if (field) field.value = token();
  }, true);

  // The connection. A short interruption is not worth a word.
  const LOST_AFTER = 1500;
  const notice = document.getElementById("connection");
  let timer = 0;
  const lost = () => { timer ||= setTimeout(() => { notice.hidden = false; document.body.classList.add("lost"); }, LOST_AFTER); };
  const back = () => { clearTimeout(timer); timer = 0; notice.hidden = true; document.body.classList.remove("lost"); };
  document.addEventListener("htmx:sse:before:connection", (event) => {
    if (event.detail.connection.attempt > 0 && !document.hidden) lost();
  });
  document.addEventListener("htmx:sse:after:connection", back);
  document.addEventListener("htmx:sse:error", (event) => {
    // The session has ended, so the page that says so is shown.
    if (event.detail.status === 401) location.reload();
  });
  // The daemon has been replaced by another version.
  document.addEventListener("reload", () => location.reload());

  // Times: the server writes UTC, the browser shows the user's own time zone and counts.
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const passed = (from) => {
    let left = Math.max(0, Math.round((Date.now() - from) / 1000));
    const words = [];
    for (const [unit, size] of units) {
      if (left >= size || (unit === "s" && !words.length)) { words.push(`${Math.floor(left / size)} ${unit}`); left %= size; }
      if (words.length === 2) break;
    }
    return words.join(" ");
  };
  const write = (element) => {
    const at = new Date(element.dateTime);
    const text = "since" in element.dataset ? `for ${passed(at)}` : at.toLocaleString();
    if (element.textContent !== text) element.textContent = text;
  };
  const writeAll = (root) => root.querySelectorAll("time[datetime]").forEach(write);
  writeAll(document);
  document.addEventListener("htmx:after:swap", () => writeAll(document));
  setInterval(() => { if (!document.hidden) document.querySelectorAll("time[data-since]").forEach(write); }, 1000);

  // The server knows its listeners by the names that its own machine uses.
  const isLocal = (host) => /^(localhost|.*\.localhost|127\.[0-9.]+|\[::1\])$/.test(host);
  const name = () => document.querySelectorAll("a[data-listener]").forEach((link) => {
    if (link.hostname !== "localhost" || isLocal(location.hostname)) return;
    link.hostname = location.hostname;
    link.textContent = link.href;
  });
  name();
  document.addEventListener("htmx:after:swap", name);

  // Keys.
  const keys = document.getElementById("keys");
  const show = document.getElementById("show-keys");
  if (keys && show) {
    show.hidden = false;
    show.addEventListener("click", () => keys.showModal());
    let isGoing = false;
    document.addEventListener("keydown", (event) => {
      const typed = event.target.closest?.("input, select, textarea, [contenteditable]");
      if (typed || event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.key === "?") keys.open ? keys.close() : keys.showModal();
      if (isGoing) document.querySelector(`[data-key="${CSS.escape(event.key)}"]`)?.click();
      isGoing = event.key === "g";
    });
  }
})();
