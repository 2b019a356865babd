/**
 * Name of the one global through which rewritten code, and the watcher, call into the kernel.
 */
export const HOOK = "__sandbox__"
