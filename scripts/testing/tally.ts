import type { FileResult } from './run-file.ts'

/** Counts what passed and keeps what has to be said about the rest. */
export class Tally {
  passed = 0
  failed = 0
  skipped = 0
  readonly #reports: string[] = []

  /** One check without tests of its own, such as the type check. */
  check(name: string, ok: boolean, output: string): void {
    if (ok) this.passed += 1
    else this.#fail(name, output)
  }

  /** One test file with all its outcomes. */
  file(result: FileResult): void {
    const failures = result.outcomes.filter((outcome) => outcome.result === 'failed')
    this.passed += result.outcomes.filter((outcome) => outcome.result === 'passed').length
    this.skipped += result.outcomes.filter((outcome) => outcome.result === 'skipped').length
    for (const { name, error } of failures) this.#fail(`${result.file}: ${name}`, error ?? '')
    const output = result.output.trim()
    if (failures.length > 0 && output !== '') {
      const lines = output.split('\n').slice(-60).join('\n')
      this.#reports.push(`--- end of the output of ${result.file}\n${lines}`)
    }
  }

  /** A file that failed beside others and passed alone: said, with what failed, and not counted as a failure. */
  unsteady({ file, outcomes }: FileResult): void {
    const failures = outcomes.filter((outcome) => outcome.result === 'failed')
    const names = failures.map(({ name, error }) => `${name}\n${(error ?? '').trim()}`).join('\n')
    this.#reports.push(`--- UNSTEADY ${file}: failed beside other files, passed alone\n${names}`)
  }

  #fail(name: string, detail: string): void {
    this.failed += 1
    this.#reports.push(`--- FAILED ${name}\n${detail.trim()}`)
  }

  /** Everything that failed, in full; empty when nothing did. */
  failures(): string {
    return this.#reports.join('\n\n')
  }

  /** The one line that ends a run. */
  summary(): string {
    const skipped = this.skipped > 0 ? `, ${this.skipped} skipped` : ''
    return `${this.passed} passed, ${this.failed} failed${skipped}`
  }
}
