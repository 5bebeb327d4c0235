// The GraphiQL page: an editor over /graphql for who is signed in, or for the access key typed into the bar above it.
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { GraphiQL } from 'graphiql';
import { createElement as h, useEffect, useMemo, useState } from 'react';
import { createRoot } from 'react-dom/client';
import 'graphiql/style.css';
import './graphiql.css';

globalThis.MonacoEnvironment = {
  getWorker(_id, label) {
    const name = label === 'json' ? 'json' : label === 'graphql' ? 'graphql' : 'editor';
    return new Worker(`/console/static/${name}.worker.js`);
  },
};

const EXAMPLE = `# Sign in, or paste an access key into the bar above, then run this.
{
  viewer {
    name
    tenant { slug imsOrgId namespace }
    sandbox { name }
    permissions
  }
  segmentDefinitions(first: 10) {
    totalCount
    nodes { name expression { text } createdBy { person integration } }
  }
}
`;

function Field({ label, value, onChange, type = 'text', placeholder }) {
  const onInput = (event) => onChange(event.target.value.trim());
  return h('label', null, label, h('input', { type, value, placeholder, onChange: onInput, autoComplete: 'off' }));
}

// Who is signed in in this browser. The session itself is in a cookie that no script can read.
function SignedIn({ person }) {
  if (!person) return h('a', { href: '/login?return_to=/graphql' }, 'Sign in');
  const signOut = async () => {
    await fetch('/logout', { method: 'POST' });
    location.reload();
  };
  return h('span', { className: 'person' }, person.name, h('button', { type: 'button', onClick: signOut }, 'Sign out'));
}

function Page() {
  const [person, setPerson] = useState(null);
  useEffect(() => {
    fetch('/session')
      .then((reply) => reply.json())
      .then((session) => setPerson(session.person));
  }, []);
  // The key stays in this tab's memory: it is neither stored nor put into the address.
  const [key, setKey] = useState('');
  const [sandbox, setSandbox] = useState('');
  const fetcher = useMemo(() => {
    const headers = {};
    if (key) headers.Authorization = `Bearer ${key}`;
    if (sandbox) headers['x-sandbox-name'] = sandbox;
    return createGraphiQLFetcher({ url: '/graphql', headers });
  }, [key, sandbox]);
  return h(
    'div',
    { className: 'page' },
    h(
      'header',
      { className: 'bar' },
      h('strong', null, 'Segment gateway'),
      h(Field, { label: 'Access key', type: 'password', value: key, onChange: setKey, placeholder: 'sgk_…' }),
      h(Field, { label: 'Sandbox', value: sandbox, onChange: setSandbox, placeholder: 'the default one' }),
      h(SignedIn, { person }),
    ),
    h(GraphiQL, { key: `${person?.name}/${key}/${sandbox}`, fetcher, initialQuery: EXAMPLE, forcedTheme: 'light' }),
  );
}

createRoot(document.getElementById('graphiql')).render(h(Page));
