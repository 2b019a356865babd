/**
 * What is made of measured times.
 */

const sorted = (values: ReadonlyArray<number>): ReadonlyArray<number> => [...values].sort((one, other) => one - other)

/**
 * The value that this share of them does not exceed: the nearest rank.
 */
export const quantile = (values: ReadonlyArray<number>, share: number): number => {
  const ranked = sorted(values)
  return ranked[Math.min(ranked.length - 1, Math.max(0, Math.ceil(share * ranked.length) - 1))] ?? NaN
}

/**
 * The middle one; between the two in the middle when there are as many below as above.
 */
export const median = (values: ReadonlyArray<number>): number => {
  const ranked = sorted(values)
  const middle = ranked.length / 2
  const [low = NaN, high = NaN] = [ranked[Math.ceil(middle) - 1], ranked[Math.floor(middle)]]
  return (low + high) / 2
}

/**
 * A point of a curve: what `size` of something costs.
 */
export interface Point {
  readonly size: number
  readonly cost: number
}

/**
 * The exponent of the power that fits the points best: the slope of a straight line through their logarithms, by least
 * squares. 1 is a cost that grows as the size does.
 */
export const exponent = (points: ReadonlyArray<Point>): number => {
  const logs = points.map(({ cost, size }) => [Math.log(size), Math.log(cost)] as const)
  const mean = (index: 0 | 1) => logs.reduce((sum, log) => sum + log[index], 0) / logs.length
  const [x, y] = [mean(0), mean(1)]
  const covariance = logs.reduce((sum, log) => sum + (log[0] - x) * (log[1] - y), 0)
  const variance = logs.reduce((sum, log) => sum + (log[0] - x) ** 2, 0)
  return covariance / variance
}
