import { defineConfig } from "vitest/config";

export default defineConfig({ test: { environment: "jsdom", include: ["test/**/*.test.js"], pool: "threads", testTimeout: 60_000 } });
