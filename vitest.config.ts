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
    // A shared machine stands still now and then, and these tests are of real processes: there, what fails twice is broken.
    // The report names what was tried again.
    retry: process.env["CI"] === "true" ? 1 : 0,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 30_000
  }
})
