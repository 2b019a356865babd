import { defineConfig } from "vitest/config"
import { assets } from "./assets.js"

export default defineConfig({
  plugins: [assets()],
  test: {
    include: ["test/**/*.test.ts"],
    // Forked processes run tests on their main thread. A worker thread must not: the kernel ends a sandbox when the
    // thread that started it ends (PR_SET_PDEATHSIG).
    pool: "forks",
    poolOptions: { forks: { minForks: 1, maxForks: 2 } },
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 30_000
  }
})
