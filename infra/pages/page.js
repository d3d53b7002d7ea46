// Curves: what they are at the pointer; drag to look closer, double-click to see all again.
for (const figure of document.querySelectorAll("figure.chart")) {
  const { series, range } = JSON.parse(figure.querySelector("script").textContent);
  const plot = figure.querySelector(".plot"), lines = plot.querySelector(".lines");
  const cursor = plot.querySelector(".cursor"), readout = figure.querySelector(".readout");
  const ticks = plot.querySelectorAll(".tick"), [left, width] = plot.dataset.span.split(" ").map(Number);
  const said = readout.textContent;
  let shown = [...range], from = null;
  const at = (event) => {
    const box = plot.getBoundingClientRect();
    const x = (event.clientX - box.left) * plot.viewBox.baseVal.width / box.width;
    return Math.min(1, Math.max(0, (x - left) / width));
  };
  const step = (share) => shown[0] + share * (shown[1] - shown[0]);
  const look = (first, last) => {
    shown = [first, last];
    const box = lines.viewBox.baseVal;
    [box.x, box.width] = [first, last - first];
    ticks.forEach((tick, n) => { tick.textContent = Math.round(step(n / (ticks.length - 1))); });
  };
  plot.addEventListener("pointermove", (event) => {
    const share = at(event), wanted = step(share), x = left + share * width;
    const words = series.map(({ name, points }) => {
      const near = points.reduce((a, b) => Math.abs(b[0] - wanted) < Math.abs(a[0] - wanted) ? b : a);
      return `${name} ${Number(near[1].toPrecision(4))}`;
    });
    readout.textContent = `step ${Math.round(wanted)}: ${words.join(", ")}`;
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    cursor.style.visibility = "visible";
  });
  plot.addEventListener("pointerleave", () => {
    cursor.style.visibility = "hidden";
    readout.textContent = said;
  });
  plot.addEventListener("pointerdown", (event) => { from = at(event); });
  plot.addEventListener("pointerup", (event) => {
    const [first, last] = [from, at(event)].sort((a, b) => a - b);
    if (from !== null && last - first > 0.02) look(step(first), step(last));
    from = null;
  });
  plot.addEventListener("dblclick", () => look(...range));
}
