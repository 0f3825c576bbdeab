// Every way to many photos: several files, a folder, a .zip, a prepared set. It runs once, when the page is there; `props` and
// `trigger` are Gradio's. What one drops elsewhere on the page reaches it by the event "many-photos".
const say = (sentence) => trigger("warning", sentence);
const status = (words) => document.querySelectorAll("#many-status").forEach((place) => { place.textContent = words; });
const AT_ONCE = 4;
let turn = 0;

const choose = (value) => {
  turn += 1;
  status("");
  if (value.photos) document.body.dataset.ownPhotos = ""; else delete document.body.dataset.ownPhotos;
  props.value = value;
  trigger("select");
};

// All of them are sent, a few at a time; what cannot be sent is named, and the others stay.
const send = async (found) => {
  const own = (turn += 1);
  const files = found.filter(({file}) => !/^(\.|Thumbs\.db$|desktop\.ini$)/.test(file.name));
  if (!files.length) return say("That holds no photo; choose several photos, a folder of them, or a .zip.");
  if (files.length > MOST) say(`The first MOST of these ${files.length} files are taken.`);
  const wanted = files.slice(0, MOST);
  const sent = [];
  const failed = [];
  let next = 0;
  const work = async () => {
    while (next < wanted.length && own === turn) {
      const number = next++;
      const {file, folder} = wanted[number];
      status(`Sending ${next} of ${wanted.length}…`);
      try {
        sent[number] = {path: await sendFile(file), name: file.name.slice(-80), folder};
      } catch (words) {
        failed.push(`${file.name}: ${words}`);
      }
    }
  };
  await Promise.all(Array.from({length: AT_ONCE}, work));
  if (own !== turn) return;
  status("");
  if (failed.length) say(failed.slice(0, 3).join(" ") + (failed.length > 3 ? ` And ${failed.length - 3} more.` : ""));
  const photos = sent.filter(Boolean);
  if (photos.length) choose({photos});
};

// A folder that is dropped is read with all in it; the folder right above a file may name what it shows.
const parent = (path) => path.split("/").filter(Boolean).at(-2) ?? "";
const readEntry = async (entry) => {
  if (entry.isFile) return [{file: await new Promise((done, failed) => entry.file(done, failed)), folder: parent(entry.fullPath)}];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const part = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!part.length) return (await Promise.all(found.map(readEntry))).flat();
    found.push(...part);
  }
};
const openTab = () => {
  const tab = [...document.querySelectorAll('[role="tab"]')][TAB];
  if (tab?.getAttribute("aria-selected") !== "true") tab?.click();
};
document.addEventListener("many-photos", async (event) => {
  const entries = [...event.detail.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);  // now: later they are gone
  const plain = [...event.detail.files].map((file) => ({file, folder: ""}));
  openTab();
  const isFolder = entries.some((entry) => entry.isDirectory);
  send(isFolder ? (await Promise.all(entries.map(readEntry))).flat() : plain);
});

const picker = (options) => {
  const input = Object.assign(document.createElement("input"), {type: "file", multiple: true, ...options});
  input.addEventListener("change", () => {
    send([...input.files].map((file) => ({file, folder: parent(file.webkitRelativePath)})));
    input.value = "";
  });
  return input;
};
const pickers = {files: picker({accept: "image/*,.zip"}), folder: picker({webkitdirectory: true})};
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button[data-many]");
  if (button?.dataset.set) choose({set: button.dataset.set});
  else if (button) pickers[button.dataset.many].click();
});
