"""Scripts that a measured page runs."""

SHIFTS = """
() => {
  let sum = 0;
  const note = (shifts) => { for (const shift of shifts) sum += shift.value; };
  const observer = new PerformanceObserver((list) => note(list.getEntries()));
  observer.observe({ type: "layout-shift" });
  globalThis.shiftSum = () => { note(observer.takeRecords()); return sum; };
  globalThis.heardEpochs = 0;
  document.addEventListener("trainyard:event", ({ detail }) => {
    if (detail.type === "epoch.finished") heardEpochs++;
  });
}
"""
"""Sum the shifts of the layout from now on, and count the epochs that arrive."""

BUILD = """
async ({ series, epochs, runs }) => {
  const [[figure, chart]] = Charts.charts;
  const key = figure.querySelector(".legend button");
  const numbers = (count) => Array.from({ length: count }, (_, i) => i);
  const line = (k) => ({ key: `s${k}`, label: `s${k}`, k: k % 8 + 1, dash: Math.floor(k / 8) });
  chart.conf.series = numbers(series).map(line);
  chart.keys = numbers(series).map(() => key.cloneNode(true));
  chart.shown = numbers(series).map(() => true);
  const x = numbers(epochs).map((i) => i + 1);
  const value = (k, epoch) => 1 - Math.exp(-epoch / (10 + k)) + 0.02 * Math.sin(epoch * (k + 1));
  const named = numbers(series).map((k) => [`s${k}`, x.map((epoch) => value(k, epoch))]);
  chart.columns = { x, epochs: x, series: Object.fromEntries(named) };
  const times = [];
  for (let run = 0; run < runs; run++) {
    await new Promise(requestAnimationFrame);
    const began = performance.now();
    chart.build();
    await null; // uPlot draws in a microtask
    times.push(performance.now() - began);
  }
  return times;
}
"""
"""Construct a chart again and again, from its columns to the drawn canvas; return milliseconds."""

FAKE_STREAM = """
delete globalThis.SharedWorker;
{
  const now = Date.now;
  let ahead = 0;
  Date.now = () => now() + ahead;
  globalThis.passSecond = () => { ahead += 1000; };
}
globalThis.EventSource = class extends EventTarget {
  constructor() {
    super();
    this.readyState = 1;
    globalThis.fakeStream = this;
    setTimeout(() => this.send("hello", { after: "", gap: false }));
  }
  send(kind, data, id = "") {
    const options = { data: JSON.stringify(data), lastEventId: id };
    this.dispatchEvent(new MessageEvent(kind, options));
  }
  close() { this.readyState = 2; }
};
"""
"""Events come from a script: the page has no worker, and its stream is an object of ours.

The clock of the page is ours too, because messages are kept for a minute.
"""

REPLAY = """
async ({ job, first, last, everyEpoch }) => {
  const epochs = 200, batches = everyEpoch;
  for (let tick = first; tick < last; tick++) {
    const epoch = Math.floor(tick / everyEpoch) + 1, batch = tick % everyEpoch + 1;
    const done = tick / (epochs * batches), eta_seconds = 9000 - tick;
    const progress = { epoch, epochs, batch, batches, done, eta_seconds };
    passSecond();
    fakeStream.send("tick", { jobs: { [job]: progress } });
    if (batch === batches) {
      const metrics = { "metrics/mAP50-95(B)": epoch / 200, "train/box_loss": 2 - epoch / 200 };
      const event = { job, seq: 1000 + epoch, type: "epoch.finished", data: { epoch, metrics } };
      fakeStream.send("event", event, `${epoch}`);
    }
    if (tick % 10 === 0) await new Promise(requestAnimationFrame);
  }
  await new Promise((done) => setTimeout(done, 3000)); // for what the page fetches after an epoch
}
"""
"""Send the ticks of a training, one second after the other, without the seconds between them."""
