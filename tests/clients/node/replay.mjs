// Asks each question four times: what it reads from the provider and from the cache, whole and streamed.
// Prints one JSON object; the Python test judges it.
import OpenAI from "openai";

let status; // of the last answer; one call at a time
const client = new OpenAI({
  baseURL: process.env.BASE_URL,
  apiKey: process.env.API_KEY,
  maxRetries: 0,
  fetch: async (...request) => {
    const response = await fetch(...request);
    status = response.headers.get("x-cache-status");
    return response;
  },
});
const model = process.env.MODEL;
const kinds = JSON.parse(process.env.KINDS);
const POLLS_MAX = 100;

async function whole(members) {
  const answer = await client.chat.completions.parse(members);
  return { status, answer };
}

async function streamed(members) {
  const stream = client.chat.completions.stream({ ...members, stream_options: { include_usage: true } });
  const answer = await stream.finalChatCompletion();
  return { status, answer };
}

async function stored(members) {
  for (let poll = 0; poll < POLLS_MAX; poll++) {
    if ((await whole(members)).status === "HIT") return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("the answer is not stored");
}

const result = {};
for (const [kind, members] of Object.entries(kinds)) {
  for (const [name, first] of [["whole", whole], ["streamed", streamed]]) {
    const content = `What is the weather and the time in Paris, for ${kind}, ${name}?`;
    const asked = { model, messages: [{ role: "user", content }], ...members };
    const miss = await first(asked);
    await stored(asked);
    result[`${kind}, ${name} first`] = { miss, whole: await whole(asked), streamed: await streamed(asked) };
  }
}
console.log(JSON.stringify(result));
