import { connected } from "./shared.js";

const redis = await connected();
console.log("queued", await redis.lLen("queue"));
await redis.quit();
