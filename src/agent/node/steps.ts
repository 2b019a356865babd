/**
 * Long work, done piece by piece between events, so that it holds nothing up.
 */

/** Each `yield` lets others have a turn. */
export type Steps = Generator<void, void, void>

/** Does all of it, and tells what it throws. */
export const inSteps = (steps: Steps, onError: (error: unknown) => void): void => {
  const step = (): void => {
    try {
      if (steps.next().done !== true) {
        setImmediate(step)
      }
    } catch (error) {
      onError(error)
    }
  }
  setImmediate(step)
}
