// Renders each form of `window.QUESTIONS`, changes one field where one is named and presses the
// button; what the forms said is left in the page as JSON.
import Form from "@rjsf/core";
import validator from "@rjsf/validator-ajv8";
import { flushSync } from "react-dom";
import { createRoot } from "react-dom/client";

const answers = {};
const soon = () => new Promise((done) => setTimeout(done, 0));

function type(input, text) {
  const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
  set.call(input, text);
  input.dispatchEvent(new Event("input", { bubbles: true }));
}

async function ask(name, { schema, field, value }) {
  const answer = { fields: 0, helps: 0, unsupported: 0, submitted: null, errors: [] };
  answers[name] = answer;
  const place = document.createElement("div");
  document.body.append(place);
  const root = createRoot(place);
  flushSync(() => root.render(
    <Form
      schema={schema}
      validator={validator}
      onSubmit={({ formData }) => { answer.submitted = formData; }}
      onError={(errors) => { answer.errors = errors.map((error) => error.stack); }}
    />,
  ));
  await soon();
  if (field) type(document.getElementById(field), value);
  await soon();
  answer.fields = place.querySelectorAll("input, select, textarea").length;
  answer.helps = place.querySelectorAll(".field-description").length;
  answer.unsupported = place.querySelectorAll(".unsupported-field").length;
  place.querySelector("button[type=submit]").click();
  await soon();
  root.unmount();
  place.remove();
}

const faults = [];
window.addEventListener("error", (event) => faults.push(String(event.message)));
async function askAll() {
  for (const [name, question] of Object.entries(window.QUESTIONS)) {
    await ask(name, question).catch((fault) => faults.push(`${name}: ${fault.stack}`));
  }
  const said = document.createElement("pre");
  said.id = "answers";
  said.textContent = JSON.stringify({ answers, faults });
  document.body.append(said);
}

askAll();
