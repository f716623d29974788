// One question to the server, as JSON; what it answers, as JSON or as images.

export class Failure extends Error {
  constructor(status, message) {
    super(message);
    this.status = status; // 0: there was no answer
  }
}

/** Of images: the JSON that comes before them, with `said` and the `bytes` behind it. */
export async function post(path, body) {
  let answer;
  try {
    answer = await fetch(`.${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      keepalive: path === "/leave",
    });
  } catch {
    throw new Failure(0, "dcgan-probe has stopped");
  }
  if (answer.headers.get("Content-Type") === "application/octet-stream") {
    const buffer = await answer.arrayBuffer();
    const length = new DataView(buffer).getUint32(0, true);
    const said = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    return { images: said.images, said, bytes: new Uint8Array(buffer.slice(4 + length)) };
  }
  const found = await answer.json();
  if (!answer.ok) throw new Failure(answer.status, found.error);
  return found;
}
