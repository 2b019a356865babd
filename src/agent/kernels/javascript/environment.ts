/**
 * Environment variables of one run.
 */

/**
 * Sets variables and gives the function that puts back what was there before.
 */
export const applyEnvironment = (variables: Readonly<Record<string, string>>): () => void => {
  const before = Object.keys(variables).map((name) => [name, process.env[name]] as const)
  Object.assign(process.env, variables)
  return () => {
    for (const [name, value] of before) {
      if (value === undefined) {
        delete process.env[name]
      } else {
        process.env[name] = value
      }
    }
  }
}
