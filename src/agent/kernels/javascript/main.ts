/**
 * The JavaScript and TypeScript interpreter of a sandbox. One file for both of its threads.
 */
import { isMainThread } from "node:worker_threads"
import { startKernel } from "./kernel.js"
import { watch } from "./watcher.js"

if (isMainThread) {
  startKernel()
} else {
  watch()
}
