// The GraphiQL page: an editor over /graphql that sends the access key and sandbox typed into the bar above it.
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { GraphiQL } from 'graphiql';
import { createElement as h, useMemo, useState } from 'react';
import { createRoot } from 'react-dom/client';
import 'graphiql/style.css';
import './graphiql.css';

globalThis.MonacoEnvironment = {
  getWorker(_id, label) {
    const name = label === 'json' ? 'json' : label === 'graphql' ? 'graphql' : 'editor';
    return new Worker(`/console/static/${name}.worker.js`);
  },
};

const EXAMPLE = `# Paste an access key into the bar above, then run this.
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

function Page() {
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
    ),
    h(GraphiQL, { key: `${key}/${sandbox}`, fetcher, initialQuery: EXAMPLE, forcedTheme: 'light' }),
  );
}

createRoot(document.getElementById('graphiql')).render(h(Page));
