/** The upload page in a real Chromium. */
import assert from 'node:assert/strict'
import { type Browser, chromium, type Locator, type Page } from 'playwright-core'
import { chromiumPath } from '../../support/provision/install.ts'

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** A browser without a window; fails when there is none and none can be installed. */
export async function openBrowser(): Promise<Browser> {
  const executablePath = await chromiumPath()
  assert.ok(executablePath, 'no Chromium: install one, or name it in CHROMIUM_PATH')
  return chromium.launch({ executablePath, args: ARGS })
}

/** The upload page in a tab. */
export interface UploadPage {
  readonly page: Page
  /** What the page must not do: break its own policy, fail in a script, ask another host. */
  readonly offences: string[]
  /** How fast bodies leave the browser, bytes a second. */
  uplink(bytesPerSecond: number): Promise<void>
  /** Puts files of the disk into the drop area. */
  choose(...paths: string[]): Promise<void>
  /** Presses the button that begins. */
  begin(): Promise<void>
  /** The line of a file below the drop area. */
  row(name: string): Locator
}

/** Opens the upload page of `origin` in a tab that shares nothing with others. */
export async function openPage(browser: Browser, origin: string): Promise<UploadPage> {
  const context = await browser.newContext({ viewport: { width: 1000, height: 900 } })
  const page = await context.newPage()
  const offences: string[] = []
  page.on('pageerror', (error) => offences.push(`script: ${error.message}`))
  page.on('console', (message) => {
    if (/Content.Security.Policy/i.test(message.text())) offences.push(message.text())
  })
  page.on('request', (request) => {
    if (!request.url().startsWith(origin) && !/^(blob|data):/.test(request.url())) offences.push(request.url())
  })
  const devtools = await context.newCDPSession(page)
  await devtools.send('Network.enable')
  await page.goto(origin)
  return {
    page,
    offences,
    uplink: async (uploadThroughput) => {
      const conditions = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput }
      await devtools.send('Network.emulateNetworkConditions', conditions)
    },
    choose: async (...paths) => {
      await page.locator('.uppy-Dashboard-input').first().setInputFiles(paths)
    },
    begin: () => page.getByRole('button', { name: /^Upload \d+ files?$/ }).click(),
    row: (name) => page.locator('#rows li').filter({ hasText: name }),
  }
}
