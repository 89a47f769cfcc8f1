/** An amount that may be out at once. First come, first served; who asks for more than there is waits to be alone. */
export class Allowance {
  readonly #limit: number
  readonly #waiting: { readonly amount: number; readonly go: () => void }[] = []
  #out = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Resolves when `amount` may be used. To be {@link repay}ed; never to be asked for by somebody who has some already. */
  async borrow(amount: number): Promise<void> {
    if (this.#waiting.length > 0 || !this.#fits(amount)) {
      await new Promise<void>((go) => this.#waiting.push({ amount, go }))
      return
    }
    this.#out += amount
  }

  repay(amount: number): void {
    this.#out -= amount
    for (let next = this.#waiting[0]; next && this.#fits(next.amount); next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#out += next.amount
      next.go()
    }
  }

  #fits(amount: number): boolean {
    return this.#out === 0 || this.#out + amount <= this.#limit
  }
}
