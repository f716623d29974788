// Sliders: axes between concepts, the walk to another sample, gains of filters.

const $ = (id) => document.getElementById(id);

/** A labelled range: input(value, done) is called as it moves, and once it is let go. */
export function slider(name, { min, max, step, value, usual }, input) {
  const label = document.createElement("label");
  label.className = "slider";
  const said = document.createElement("span");
  said.textContent = name;
  said.title = name;
  const output = document.createElement("output");
  const range = document.createElement("input");
  Object.assign(range, { type: "range", min, max, step });
  range.addEventListener("input", (event) => {
    output.textContent = shown(range.valueAsNumber);
    input(range.valueAsNumber, false, event.timeStamp);
  });
  range.addEventListener("change", (event) => input(range.valueAsNumber, true, event.timeStamp));
  range.addEventListener("dblclick", (event) => {
    set(usual);
    input(usual, true, event.timeStamp);
  });
  label.append(said, output, range);
  function set(number) {
    if (document.activeElement === range && range.matches(":active")) return;
    range.value = number;
    output.textContent = shown(number);
  }
  set(value);
  return { label, set };
}

function shown(value) {
  return String(Math.round(value * 100) / 100);
}

export class Sliders {
  /** put(path, body, done, at) */
  constructor(state, put) {
    this.put = put;
    this.reach = state.reach;
    this.axes = new Map();
    this.gains = new Map();
    const options = (names, first = []) => [...first, ...names.map((name) => new Option(name, name))];
    $("axes-part").hidden = !state.concepts.length;
    $("from").replaceChildren(...options(state.concepts, [new Option("the average", "")]));
    $("to").replaceChildren(...options(state.concepts));
    $("filter-layer").replaceChildren(...options(Object.keys(state.layers)));
    $("filter-layer").value = state.layer;
    $("picked-part").hidden = !Object.keys(state.layers).length;
    $("axes").replaceChildren();
    $("filters").replaceChildren();
    if (state.concepts.length > 1) {
      this.axis(state.concepts[1], state.concepts[0]);
      [$("from").value, $("to").value] = [state.concepts.at(-2), state.concepts.at(-1)];
    }
    for (const { layer, filters } of state.selections) this.gain(layer, filters);
    $("add-axis").onsubmit = (event) => {
      event.preventDefault();
      if ($("from").value !== $("to").value) this.axis($("from").value, $("to").value);
    };
    $("add-filter").onsubmit = (event) => {
      event.preventDefault();
      const numbers = $("filter-numbers").value.split(",").map((text) => Number(text.trim() || NaN));
      const good = numbers.every((number) => Number.isInteger(number) && number >= 0);
      $("filter-numbers").setCustomValidity(good ? "" : "Numbers, as 3,17");
      if (good) this.gain($("filter-layer").value, numbers);
      else $("filter-numbers").reportValidity();
    };
    $("filter-numbers").oninput = () => $("filter-numbers").setCustomValidity("");
    const walk = (done) => (event) => {
      $("walk-said").textContent = shown($("walk").valueAsNumber);
      const to = $("walk-to").value.trim();
      if (to) put("/walk", { to, at: $("walk").valueAsNumber }, done, event.timeStamp);
    };
    $("walk").oninput = walk(false);
    $("walk").onchange = walk(true);
    $("walk-form").onsubmit = (event) => {
      event.preventDefault();
      $("walk").focus();
    };
    if (!$("walk-to").value) $("walk-to").value = state.strip.at(-1) ?? "";
    this.follow(state);
  }

  axis(start, end) {
    const key = JSON.stringify([start, end]);
    if (this.axes.has(key)) return;
    const name = start ? `${start} → ${end}` : `+ ${end}`;
    const made = slider(name, { min: -this.reach, max: this.reach, step: 0.05, value: 0, usual: 0 },
      (at, done, time) => this.put("/axis", { start, end, at }, done, time));
    this.axes.set(key, made);
    $("axes").append(made.label);
  }

  gain(layer, filters, score) {
    const key = JSON.stringify([layer, filters]);
    if (this.gains.has(key)) return;
    const which = filters.length === 1 ? `filter ${filters[0]}` : `${filters.length} filters`;
    const stands = score === undefined ? "" : ` (${score.toFixed(1)} σ)`;
    const made = slider(`${layer} ${which}${stands}`,
      { min: 0, max: this.reach, step: 0.05, value: 1, usual: 1 },
      (at, done, time) => this.put("/gain", { layer, filters, at }, done, time));
    this.gains.set(key, made);
    $("filters").append(made.label);
  }

  /** The filters that stand out at a place: those that nobody moved make way for them. */
  picked({ layer, filters }, moved) {
    const kept = new Set(moved.map((each) => JSON.stringify([each.layer, each.filters])));
    for (const [key, { label }] of this.gains) {
      if (!kept.has(key) && label.dataset.picked) {
        label.remove();
        this.gains.delete(key);
      }
    }
    for (const { filter, score } of filters) {
      this.gain(layer, [filter], score);
      this.gains.get(JSON.stringify([layer, [filter]])).label.dataset.picked = "yes";
    }
  }

  /** Stand where the state says. */
  follow({ axes, gains, walk }) {
    for (const { start, end } of axes) this.axis(start, end);
    for (const { layer, filters } of gains) this.gain(layer, filters);
    const at = new Map(axes.map((each) => [JSON.stringify([each.start, each.end]), each.at]));
    for (const [key, { set }] of this.axes) set(at.get(key) ?? 0);
    const gain = new Map(gains.map((each) => [JSON.stringify([each.layer, each.filters]), each.at]));
    for (const [key, { set }] of this.gains) set(gain.get(key) ?? 1);
    if (!$("walk").matches(":active")) {
      $("walk").value = walk.at;
      $("walk-said").textContent = shown(walk.at);
      if (walk.to) $("walk-to").value = walk.to;
    }
  }
}
