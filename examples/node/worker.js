import { connected } from "./shared.js";

const redis = await connected();
let stopping = false;
process.on("SIGTERM", () => { stopping = true; });
while (!stopping) {
  const found = await redis.brPop("queue", 1);
  if (found) await redis.incr("shipped");
}
await redis.quit();
