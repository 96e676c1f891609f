// Calls a service with the bytes it is given, and prints what it heard as JSON.
import grpc from "@grpc/grpc-js";

const { TARGET, SERVICE, REQUEST, STREAM_REQUEST } = process.env;
const client = new grpc.Client(TARGET, grpc.credentials.createInsecure());
const bytes = (value) => value;
const deadline = () => ({ deadline: Date.now() + 60_000 });

function unary(method, request, options = deadline()) {
  return new Promise((resolve) => {
    const path = `/${SERVICE}/${method}`;
    client.makeUnaryRequest(path, bytes, bytes, request, options, (error, answer) =>
      resolve({ code: error ? error.code : 0, bytes: answer ? answer.length : 0 }),
    );
  });
}

function stream(method, request) {
  return new Promise((resolve) => {
    const heard = { count: 0, bytes: 0 };
    const call = client.makeServerStreamRequest(`/${SERVICE}/${method}`, bytes, bytes, request, deadline());
    call.on("data", (message) => {
      heard.count += 1;
      heard.bytes += message.length;
    });
    call.on("error", () => {});
    call.on("status", (status) => resolve({ code: status.code, ...heard }));
  });
}

const request = Buffer.from(REQUEST, "hex");
const result = {
  unary: await unary("CreateChat", request),
  many: await Promise.all(Array.from({ length: 100 }, () => unary("CreateChat", request))),
  stream: await stream("StreamChat", Buffer.from(STREAM_REQUEST, "hex")),
  unknown: await unary("NoSuchMethod", request),
  malformed: await unary("CreateChat", Buffer.from([0xff, 0xff])),
};
client.close();
process.stdout.write(JSON.stringify(result));
