import { defineConfig } from "vitest/config"
import { assets } from "../../assets.js"

/** What runs in containers of a real engine; `npm run test:docker` sees to it that there is one. */
export default defineConfig({
  plugins: [assets()],
  test: {
    include: ["test/docker/**/*.docker.ts"],
    pool: "forks",
    poolOptions: { forks: { minForks: 1, maxForks: 2 } },
    testTimeout: 180_000,
    hookTimeout: 60_000,
    teardownTimeout: 30_000
  }
})
