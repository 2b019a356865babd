/**
 * How a program ended, told by the status of another one that waited for it.
 */
import { constants } from "node:os"
import type { ExitStatus } from "./Isolation.js"

const names = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]))

/**
 * Such a program ends with 128 and the number of the signal that ended the other.
 */
export const statusOf = ({ exitCode, signal }: ExitStatus): ExitStatus => {
  const name = exitCode === null ? undefined : names.get(exitCode - 128)
  return name === undefined ? { exitCode, signal } : { exitCode: null, signal: name }
}
