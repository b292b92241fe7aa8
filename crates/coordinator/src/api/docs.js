'use strict';

const element = (name, text, parent) => {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  parent?.append(made);
  return made;
};

const nameOf = (schema) => schema?.$ref?.split('/').pop() ?? schema?.type ?? '';

function route(path, method, operation, parent) {
  const details = element('details', '', parent);
  const summary = element('summary', '', details);
  element('span', method, summary).className = 'method';
  element('code', path, summary);
  summary.append(` ${operation.summary}`);
  if (operation.description) element('p', operation.description, details);
  const table = element('table', '', details);
  const row = (label, text) => {
    const line = element('tr', '', table);
    element('th', label, line);
    element('td', text, line);
  };
  for (const parameter of operation.parameters ?? []) {
    row(`${parameter.name} (${parameter.in})`, parameter.description);
  }
  const body = operation.requestBody?.content?.['application/json']?.schema;
  if (body) row('body', nameOf(body));
  for (const [status, response] of Object.entries(operation.responses)) {
    const [content] = Object.values(response.content ?? {});
    row(status, [response.description, nameOf(content?.schema)].filter(Boolean).join(': '));
  }
}

async function main() {
  const description = await (await fetch('/openapi.json')).json();
  document.getElementById('about').textContent = description.info.description;
  const routes = document.getElementById('routes');
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(methods)) route(path, method, operation, routes);
  }
  const schemas = document.getElementById('schemas');
  for (const [name, schema] of Object.entries(description.components.schemas)) {
    const details = element('details', '', schemas);
    element('code', name, element('summary', '', details));
    element('pre', JSON.stringify(schema, null, 2), details);
  }
}

main();
