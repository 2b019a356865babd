/**
 * The text of a file that runs inside the sandbox; the build plugin in `assets.ts` provides it.
 */
declare module "*?asset" {
  const text: string
  export default text
}
