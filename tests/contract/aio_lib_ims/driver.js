// Drives @adobe/aio-lib-ims, a client of Adobe's identity service that others wrote: a call a line in, an answer a
// line out. The client is untouched; its address is set as its users set it, after the object is made.
const readline = require('node:readline')
const { Ims, getTokenData } = require('@adobe/aio-lib-ims')

const ims = new Ims()

async function answer ({ method, args }) {
  if (method === 'getTokenData') return getTokenData(...args)
  if (method === 'post') return ims.post(...args)
  return ims[method](...args)
}

async function main () {
  const lines = readline.createInterface({ input: process.stdin })
  for await (const line of lines) {
    const wanted = JSON.parse(line)
    if (wanted.endpoint) ims.endpoint = wanted.endpoint
    let reply
    try {
      reply = { result: (await answer(wanted)) ?? null }
    } catch (fault) {
      reply = { raised: String(fault.message) }
    }
    console.log(JSON.stringify(reply))
  }
}

main()
