// The official client, as a newcomer uses it. Prints one JSON object; the Python test judges it.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.API_KEY, maxRetries: 0 });
const model = process.env.MODEL;
const ask = (content) => [{ role: "user", content }];
const result = {};

const whole = await client.chat.completions.create({ model, messages: ask("Say hello") });
result.whole = { text: whole.choices[0].message.content, usage: whole.usage };

const started = performance.now();
const arrivals = [];
let text = "";
let usage = null;
const stream = await client.chat.completions.create({
  model,
  messages: ask("Tell me about gateways"),
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  const delta = chunk.choices[0]?.delta?.content;
  if (delta) {
    arrivals.push(performance.now() - started);
    text += delta;
  }
  usage = chunk.usage ?? usage;
}
result.stream = { text, usage, chunks: arrivals.length, first_ms: arrivals[0], last_ms: arrivals.at(-1) };

const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "Weather of a city",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    },
  },
];
const called = await client.chat.completions.create({
  model,
  messages: ask("What is the weather in Paris? Use get_weather."),
  tools,
  tool_choice: { type: "function", function: { name: "get_weather" } },
});
const call = called.choices[0].message.tool_calls[0];
result.tool = { name: call.function.name, arguments: JSON.parse(call.function.arguments) };

result.models = [];
for await (const entry of client.models.list()) result.models.push(entry.id);
result.model = (await client.models.retrieve(model)).id;

try {
  await client.chat.completions.create({ model: "no-such-model", messages: ask("x") });
} catch (error) {
  result.error = { status: error.status, type: error.type, message: error.message };
}
console.log(JSON.stringify(result));
