// Every way to a photo: a file, drag and drop, the clipboard, the camera, an example. It runs once, when the page is there;
// `props` and `trigger` are Gradio's; `sending.js` stands before it. Whatever is no picture leaves the photo as it is and is answered in a sentence: here where
// there is no file to look at, by the server otherwise.
const SENTENCES = {
  link: "A link is not a photo; save the photo first and drop its file, or copy the photo and paste it.",
  nothing: "That holds no photo; drop the file of one.",
  clipboard: "There is no picture in the clipboard; copy one first.",
  noClipboard: "The browser does not let the page read the clipboard; press Ctrl+V or ⌘V instead, or choose a file.",
  noCamera: "The browser does not let the page use a camera; choose a file instead.",
};
const say = (sentence) => trigger("warning", sentence);
const status = (words) => document.querySelectorAll("#photo-status").forEach((place) => { place.textContent = words; });

// The last choice wins: what arrives late for an earlier one is dropped, and the server is asked about one choice at a time,
// then about the last of those that came meanwhile. It tells when it has answered, also that it could not.
let newest = 0;
let sending = 0;  // the turn of what is on its way here
let isAsking = false;
let next = null;
const ask = (choice) => {
  next = choice;
  if (choice.file) document.body.dataset.ownPhoto = ""; else delete document.body.dataset.ownPhoto;
  if (isAsking) return;
  isAsking = true;
  props.value = next;
  next = null;
  trigger("select");
};
document.addEventListener("photo-answered", () => {
  isAsking = false;
  if (next) ask(next);
  else if (sending !== newest) status("");
});
const choose = (choice) => {
  newest += 1;
  closeCamera();
  ask(choice);
};

const send = async (file) => {
  const turn = (sending = newest += 1);
  closeCamera();
  status("Sending the photo…");
  let path, words;
  try { path = await sendFile(file); } catch (sentence) { words = sentence; }
  if (turn !== newest) return;
  sending = 0;
  if (path) return ask({file: {path, meta: {_type: "gradio.FileData"}}});
  status("");
  say(words);
};

const toClassify = () => {
  if (!document.querySelector("#photo")?.offsetParent) document.querySelector('[role="tab"]').click();
};
const takeFiles = (files, otherwise) => {
  if (!files.length) return say(otherwise);
  toClassify();
  send(files[0]);
};
// Several files, a folder or an archive are for "Many photos", and so is whatever is dropped while that tab is open.
const areMany = ({files, items}) =>
  files.length > 1 || /\.zip$/i.test(files[0]?.name) || [...items].some((item) => item.webkitGetAsEntry?.()?.isDirectory) ||
  (files.length && document.querySelector("#many")?.offsetParent);

// On the whole page: beside it, the browser would leave the page to open the file.
const isText = (event) => !event.dataTransfer.types.includes("Files") && event.target.closest?.("input, textarea");
const markDrop = (isOver) => document.body.classList.toggle("photo-over", isOver);
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    if (isText(event)) return;
    event.preventDefault();
    markDrop(true);
  }, true);
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) markDrop(false); }, true);
document.addEventListener("drop", (event) => {
  markDrop(false);
  if (isText(event)) return;
  event.preventDefault();
  event.stopPropagation();
  if (areMany(event.dataTransfer)) {
    document.dispatchEvent(new CustomEvent("many-photos", {detail: event.dataTransfer}));
    return;
  }
  const {files, types} = event.dataTransfer;
  takeFiles(files, types.includes("text/uri-list") ? SENTENCES.link : SENTENCES.nothing);
}, true);

document.addEventListener("paste", (event) => {
  if (!event.target.closest?.("input, textarea")) takeFiles(event.clipboardData.files, SENTENCES.clipboard);
});
const paste = async () => {
  try {
    for (const item of await navigator.clipboard.read()) {
      const type = item.types.find((each) => each.startsWith("image/"));
      if (type) return send(new File([await item.getType(type)], `pasted.${type.slice(6)}`));
    }
    say(SENTENCES.clipboard);
  } catch {
    say(SENTENCES.noClipboard);
  }
};

let stream = null;
const showCamera = (shown) => {
  stream?.getTracks().forEach((track) => track.stop());
  stream = shown;
  document.querySelector("#photo-camera").hidden = !shown;
  document.querySelector("#photo-camera video").srcObject = shown;
};
const closeCamera = () => { if (stream) showCamera(null); };
const openCamera = async () => {
  const turn = newest;
  try {
    showCamera(await navigator.mediaDevices.getUserMedia({video: {width: {ideal: 1280}, facingMode: {ideal: "environment"}}}));
  } catch {
    return say(SENTENCES.noCamera);
  }
  if (turn !== newest) closeCamera();  // something else was chosen while the browser asked whether it may
};
const capture = async () => {
  const video = document.querySelector("#photo-camera video");
  if (!video.videoWidth) await new Promise((done) => video.addEventListener("loadeddata", done, {once: true}));
  const canvas = Object.assign(document.createElement("canvas"), {width: video.videoWidth, height: video.videoHeight});
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => send(new File([blob], "camera.jpg")), "image/jpeg", 0.95);
};

const input = Object.assign(document.createElement("input"), {type: "file", accept: "image/*"});
input.addEventListener("change", () => {
  takeFiles(input.files, SENTENCES.nothing);
  input.value = "";  // so that the same file can be chosen again
});
const ACTIONS = {
  file: () => input.click(),
  paste,
  camera: openCamera,
  capture,
  close: closeCamera,
  remove: () => choose({}),
};
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button[data-photo], button[data-choice]");
  if (button?.dataset.choice) {
    choose(JSON.parse(button.dataset.choice));
    toClassify();
  } else if (button) {
    ACTIONS[button.dataset.photo]();
  }
});
