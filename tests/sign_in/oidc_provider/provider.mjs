// A certified OpenID provider, with its own log-in pages. Its keys and people come from the test, by POST /test.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const people = {};
let provider;

function made({ keys, clients }) {
  return new Provider(issuer, {
    clients,
    jwks: { keys },
    cookies: { keys: ['only for tests'] },
    scopes: ['openid', 'email', 'profile', 'groups'],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
    features: { devInteractions: { enabled: true } },
    ttl: { AccessToken: 600, IdToken: 600, AuthorizationCode: 60, Grant: 600, Session: 600, Interaction: 600 },
  });
}

async function configure(request, response) {
  let body = '';
  for await (const chunk of request) body += chunk;
  const wanted = JSON.parse(body);
  Object.assign(people, wanted.people);
  if (wanted.keys) provider = made(wanted);
  response.end('{}');
}

createServer((request, response) => {
  if (request.url === '/test') return configure(request, response);
  return provider.callback()(request, response);
}).listen(port, '127.0.0.1', () => console.log(issuer));
