/** Everything that is wrong with the environment, said at once. */

/** Throws from `loadConfig`; `faults` holds one sentence each, with the value (secrets hidden) and what to do. */
export class ConfigError extends Error {
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    super(`The configuration cannot be used:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`)
    this.name = 'ConfigError'
    this.faults = faults
  }
}
