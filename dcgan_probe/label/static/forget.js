// What the generator draws without the object, from the boxes there are so far.

const $ = (id) => document.getElementById(id);

export async function forget(server, label, size) {
  $("preview-title").textContent = `Without “${label}”`;
  $("preview-text").textContent = "Erasing …";
  $("pairs").replaceChildren();
  if (!$("preview").open) $("preview").showModal();
  try {
    await server.flush();
    const found = await server.post("/forget", { label });
    const [before, after] = await Promise.all([found.before, found.after].map(decoded));
    $("pairs").replaceChildren(...found.samples.map((sample, i) =>
      pair(sample, [part(before, i, size), part(after, i, size)])));
    $("preview-text").textContent = `Above: as it is. Below: ${found.edit}, learnt from your ` +
      `boxes in ${found.seconds} s. These samples have boxes; the command forget measures on others.`;
  } catch (failure) {
    $("preview-text").textContent = failure.message;
  }
}

async function decoded(base64) {
  const image = new Image();
  image.src = `data:image/png;base64,${base64}`;
  await image.decode();
  return image;
}

function part(strip, i, size) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  canvas.getContext("2d").drawImage(strip, i * size, 0, size, size, 0, 0, size, size);
  return canvas;
}

function pair(sample, canvases) {
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  caption.textContent = sample;
  figure.append(...canvases, caption);
  canvases.forEach((canvas, i) => {
    canvas.role = "img";
    canvas.ariaLabel = `Sample ${sample}, ${i ? "after" : "before"}`;
  });
  return figure;
}
