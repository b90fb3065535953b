// Adds the lines of the log that were written after the page was loaded. The page's stream brings them, each once for
// all open pages. A page that has missed some asks for them by their offset in the file, so none is missing or doubled.
"use strict";

(() => {
  // A page that was away for more bytes than this continues with the latest lines, and says what it leaves out.
  const MAX_GAP = 256 * 1024, TAIL = 32 * 1024;
  // Lines that the page keeps. While a user reads older ones, more.
  const MAX_LINES = 5000, MAX_READ = 20000;
  const RETRY = 2000;
  const log = document.getElementById("log");
  const lines = document.getElementById("log-lines");
  const box = lines.parentElement;
  let next = Number(log.dataset.next);
  let isAsking = false;
  let timer = 0;

  const element = (name, text, className) => {
    const made = document.createElement(name);
    made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const row = (line) => {
    const made = element("span", "");
    made.dataset.end = line.end;
    made.append(element("span", `${line.at} ${line.stage}`, "quiet"), ` ${line.text}\n`);
    return made;
  };

  // The box grows upwards from its end. So it stays at the end by itself, and a user who has scrolled up has to be
  // moved by what was added below.
  const change = (act) => {
    const isAtEnd = box.scrollTop > -2;
    const height = lines.getBoundingClientRect().height, top = box.scrollTop;
    act();
    if (!isAtEnd) box.scrollTop = top - (lines.getBoundingClientRect().height - height);
    const most = isAtEnd ? MAX_LINES : MAX_READ;
    let removed = false;
    while (lines.childElementCount > most) { lines.firstElementChild.remove(); removed = true; }
    if (removed) document.getElementById("log-extent").textContent = "The latest lines.";
    else if (lines.dataset.isEmpty) { document.getElementById("log-extent").textContent = "All lines."; delete lines.dataset.isEmpty; }
  };
  if (!lines.childElementCount) lines.dataset.isEmpty = "true";

  const add = (news) => {
    const wanted = news.lines.filter((line) => line.end > next);
    change(() => lines.append(...wanted.map(row)));
    next = Math.max(next, news.next);
  };
  const leaveOut = (end) => {
    const text = `… ${Math.ceil((end - next) / 1024)} KiB are left out here: download all to read them\n`;
    change(() => lines.append(element("span", text, "waiting")));
    next = end;
  };

  const ask = async (wanted) => {
    clearTimeout(timer);
    timer = 0;
    isAsking = true;
    try {
      const answer = await fetch(`${log.dataset.more}${next}`, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(answer.statusText);
      const before = next;
      add(await answer.json());
      // No whole line follows, such as after the middle of a very long last one. To ask again would not end.
      if (next === before) next = wanted;
      isAsking = false;
      take();
    } catch {
      isAsking = false;
      timer ||= setTimeout(take, RETRY);
    }
  };

  const take = () => {
    if (isAsking) return;
    const news = JSON.parse(document.getElementById("log-news").textContent);
    if (news.next <= next) return;
    if (news.next - next > MAX_GAP && news.start > next) leaveOut(news.lines.length ? news.start : news.next - TAIL);
    if (news.start <= next) add(news);
    else ask(news.next);
  };

  document.addEventListener("htmx:after:swap", take);
  take();
})();
