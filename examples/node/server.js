import express from "express";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { connected } from "./shared.js";

const redis = await connected();
const app = express();
app.use(express.text({ type: "*/*" }));
app.get("/healthz", async (request, response) => response.send(await redis.ping()));
app.get("/version", (request, response) => response.send(process.env.VERSION ?? "1"));
app.post("/orders", async (request, response) => {
  const id = await redis.incr("orders");
  await redis.lPush("queue", JSON.stringify({ id, text: String(request.body).slice(0, 100) }));
  response.status(201).json({ id });
});
app.get("/orders", async (request, response) => {
  const [count, shipped] = await Promise.all([redis.get("orders"), redis.get("shipped")]);
  response.json({ count: Number(count), shipped: Number(shipped) });
});
const server = createServer(app);
const sockets = new WebSocketServer({ server, path: "/ws" });
sockets.on("connection", (socket) => socket.on("message", (data) => socket.send(data.toString())));
server.keepAliveTimeout = 65_000;
server.listen(Number(process.env.PORT ?? 3000));
// on_drain of pipeline.yaml: another container serves new connections, so clients may connect again at once.
process.on("SIGUSR2", () => { for (const socket of sockets.clients) socket.close(1012, "connect again"); });
process.on("SIGTERM", () => {
  for (const socket of sockets.clients) socket.close(1001, "the server is stopping");
  server.close(async () => { await redis.quit(); process.exit(0); });
  server.closeIdleConnections();
});
