// Before above after, or one over the other, with one place of the line for all samples of an edit.
for (const pairs of document.querySelectorAll(".pairs")) {
  const range = pairs.querySelector("input");
  const tiles = pairs.querySelector(".tiles");
  const tell = (apart) => {
    pairs.classList.toggle("apart", apart);
    if (apart) range.setAttribute("aria-valuetext", "before above after");
  };
  const move = (to) => {
    tell(false);
    range.value = to;
    pairs.style.setProperty("--at", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value}% before, ${100 - range.value}% after`);
  };
  const follow = (event) => {
    const pair = event.target.closest(".pair");
    if (!pair || pairs.classList.contains("apart") || (event.type === "pointermove" && !event.buttons)) return;
    const box = pair.getBoundingClientRect();
    move(Math.round((100 * (event.clientX - box.left)) / box.width));
  };
  range.addEventListener("input", () => move(range.value));
  tiles.addEventListener("pointerdown", follow);
  tiles.addEventListener("pointermove", follow);
  tiles.addEventListener("dragstart", (event) => event.preventDefault());
  for (const button of pairs.querySelectorAll("button"))
    button.addEventListener("click", () => (button.dataset.to ? move(button.dataset.to) : tell(true)));
  tell(true);
}

// Charts: the mark under the pointer, or that the arrow keys have reached, is read out below.
for (const chart of document.querySelectorAll(".chart")) {
  const svg = chart.querySelector("svg");
  const marks = [...chart.querySelectorAll(".mark")];
  const bars = marks[0]?.tagName === "rect";
  const number = (mark, name) => Number(mark.getAttribute(name));
  const middle = (mark) =>
    bars ? [number(mark, "x") + number(mark, "width") / 2, 0] : [number(mark, "cx"), number(mark, "cy")];
  const places = marks.map(middle);
  const order = marks.map((_, i) => i).sort((a, b) => places[a][0] - places[b][0] || a - b);
  let at = -1;
  const show = (i) => {
    for (const mark of chart.querySelectorAll(".now")) mark.classList.remove("now");
    at = i;
    marks[order[at]].classList.add("now");
    chart.querySelector("output").value = marks[order[at]].textContent;
  };
  svg.addEventListener("pointermove", (event) => {
    const here = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const far = (i) => Math.hypot(places[i][0] - here.x, bars ? 0 : places[i][1] - here.y);
    show(order.reduce((best, i, k) => (far(i) < far(order[best]) ? k : best), 0));
  });
  chart.addEventListener("focus", () => at < 0 && marks.length && show(0));
  chart.addEventListener("keydown", (event) => {
    const last = marks.length - 1;
    const to = {
      ArrowRight: at + 1, ArrowLeft: at - 1, ArrowUp: at + 1, ArrowDown: at - 1, Home: 0, End: last,
    }[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    show(Math.max(0, Math.min(last, to)));
  });
}

// Pictures wider than the page are reduced to it; a click or the button shows them pixel for pixel.
const frames = [...document.querySelectorAll(".frame")].map((frame) => {
  const image = frame.querySelector("img");
  const button = document.createElement("button");
  button.type = "button";
  frame.parentElement.querySelector("figcaption").append(button);
  const wide = () => Number(image.getAttribute("width")) > frame.parentElement.clientWidth;
  const fit = (whole) => {
    frame.classList.toggle("whole", whole);
    image.classList.toggle("reduced", !whole && wide());
    button.hidden = !whole && !wide();
    button.textContent = whole ? "Fit to the page" : "Pixel for pixel";
    // What scrolls must be reached by the keyboard.
    if (whole) frame.tabIndex = 0;
    else frame.removeAttribute("tabindex");
  };
  const toggle = () => fit(!frame.classList.contains("whole") && wide());
  button.addEventListener("click", toggle);
  frame.addEventListener("click", toggle);
  return () => fit(frame.classList.contains("whole") && wide());
});
const fitAll = () => frames.forEach((fit) => fit());
addEventListener("resize", fitAll);
fitAll();

// Films begin when they are first seen, where motion is welcome; animations get a button.
const still = matchMedia("(prefers-reduced-motion: reduce)");
const first = new IntersectionObserver((seen) => {
  for (const { target, isIntersecting } of seen) {
    if (!isIntersecting) continue;
    first.unobserve(target);
    target.play().catch(() => {}); // a browser may refuse; the film has its controls
  }
});
if (!still.matches) for (const film of document.querySelectorAll("video")) first.observe(film);
for (const moving of document.querySelectorAll(".moving")) {
  const button = document.createElement("button");
  const source = moving.querySelector("source");
  let held = still.matches;
  const hold = () => {
    source.media = held ? "all" : "not all";
    button.textContent = held ? "Play" : "Hold";
  };
  button.type = "button";
  button.addEventListener("click", () => {
    held = !held;
    hold();
  });
  moving.parentElement.querySelector("figcaption").append(button);
  hold();
}

// Tables of more than a few rows are sorted by the column that is clicked, largest first.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  if (body.rows.length < 4) continue;
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      for (const other of table.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].textContent.trim();
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        const difference = Number.parseFloat(y) - Number.parseFloat(x);
        return Number.isNaN(difference) ? x.localeCompare(y) : difference;
      };
      body.append(...[...body.rows].sort((a, b) => (down ? compare(a, b) : compare(b, a))));
    });
  });
}
