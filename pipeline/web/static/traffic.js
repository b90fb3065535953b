// Draws the charts of the page Traffic from its table. Changed rows arrive every few seconds.
"use strict";

(() => {
  const box = document.getElementById("charts");
  if (!box || !window.uPlot) return;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const line = (label, name, dash) => ({ label, stroke: colour(name), width: 2, dash, spanGaps: false });
  const HEIGHT = 180;

  // The columns of the table, and the series of each chart. The second line of a chart is dashed, so that it is known
  // without its colour.
  const charts = [
    { id: "chart-rate", series: [line("requests/s", "--busy")], values: (row) => [row.rate] },
    { id: "chart-errors", series: [line("5XX/s", "--bad"), line("4XX/s", "--warning", [6, 4])],
      values: (row) => [row.errors5 / row.seconds, row.errors4 / row.seconds] },
    { id: "chart-times", series: [line("p99 ms", "--waiting"), line("p50 ms", "--busy", [6, 4])],
      values: (row) => [row.p99, row.p50] },
  ];

  const number = (cell) => { const found = parseFloat(cell.textContent); return Number.isNaN(found) ? null : found; };
  const rows = () => [...document.querySelectorAll("#numbers tr[data-at]")].map((row) => ({
    at: Number(row.dataset.at), seconds: Number(row.dataset.seconds), rate: number(row.cells[1]),
    errors4: number(row.cells[2]), errors5: number(row.cells[3]), p50: number(row.cells[4]), p99: number(row.cells[5]),
  }));
  const marks = () => [...document.querySelectorAll("#deployments [data-from]")].map((each) => ({
    from: Number(each.dataset.from), to: Number(each.dataset.to ?? NaN), label: each.dataset.label,
  }));

  // A deployment is a band from its begin to its end, with a line and its release at the begin.
  const drawMarks = (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.strokeStyle = ctx.fillStyle = colour("--text");
    ctx.font = `${12 * devicePixelRatio}px sans-serif`;
    // Labels that would cover one another are left out. The list below has all.
    let taken = -Infinity;
    for (const mark of marks()) {
      const from = plot.valToPos(mark.from, "x", true);
      const to = Number.isNaN(mark.to) ? bbox.left + bbox.width : plot.valToPos(mark.to, "x", true);
      ctx.globalAlpha = 0.12;
      ctx.fillRect(from, bbox.top, Math.max(to - from, 1), bbox.height);
      ctx.globalAlpha = 1;
      ctx.setLineDash([3, 3]);
      ctx.beginPath();
      ctx.moveTo(from, bbox.top);
      ctx.lineTo(from, bbox.top + bbox.height);
      ctx.stroke();
      // Beside the line, on the side that has room.
      const room = bbox.left + bbox.width - from;
      const width = ctx.measureText(mark.label).width + 4;
      ctx.textAlign = width < room ? "left" : "right";
      const left = ctx.textAlign === "left" ? from : from - width;
      if (left < taken) continue;
      taken = left + width;
      ctx.fillText(mark.label, from + (ctx.textAlign === "left" ? 4 : -4), bbox.top + 12 * devicePixelRatio);
    }
    ctx.restore();
  };

  const axis = (more) => ({
    stroke: colour("--text"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, ...more,
  });
  const clock = (second) => new Date(second * 1000).toLocaleTimeString([], { hourCycle: "h23" });
  const times = axis({ space: 80, values: (_, seconds) => seconds.map(clock) });
  const data = (chart, found) => [found.map((row) => row.at), ...chart.series.map((_, at) => found.map((row) => chart.values(row)[at]))];
  const open = (chart, found) => {
    const place = document.getElementById(chart.id);
    chart.plot = new uPlot({
      width: place.clientWidth, height: HEIGHT, cursor: { sync: { key: "traffic" } },
      scales: { y: { range: (_, __, max) => [0, Math.max(max * 1.1, 1)] } },
      series: [{ label: "time", value: (_, second) => (second === null ? "-" : clock(second)) }, ...chart.series],
      axes: [times, axis({ size: 56 })],
      hooks: { draw: [drawMarks] },
    }, data(chart, found), place);
    new ResizeObserver(() => chart.plot.setSize({ width: place.clientWidth, height: HEIGHT })).observe(place);
  };

  let shown = "";
  const draw = () => {
    const found = rows();
    const state = JSON.stringify([found, marks()]);
    if (state === shown) return;
    shown = state;
    box.hidden = found.length === 0;
    if (box.hidden) return;
    for (const chart of charts) chart.plot ? chart.plot.setData(data(chart, found)) : open(chart, found);
  };
  draw();
  document.addEventListener("htmx:after:swap", draw);
})();
