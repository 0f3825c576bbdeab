// Sending a file to the server; what hears of photos begins with this. Gives its path there, or throws a sentence.
const SIZE = "This photo is larger than the MAX_MB MB allowed; make it smaller or save it as JPEG and try again.";
const UNSENT = "This could not be sent: it may be a folder, or the connection is interrupted; choose one photo and try again.";
const sendFile = async (file) => {
  if (file.size > MAX_BYTES) throw SIZE;
  const form = new FormData();
  form.append("files", file, file.name.slice(-100) || "photo");
  let reply, words;
  try {
    reply = await fetch(new URL("gradio_api/upload", document.baseURI), {method: "POST", body: form});
    words = await reply.text();
  } catch { /* told below */ }
  if (!reply?.ok || !words) throw words || UNSENT;
  return JSON.parse(words)[0];
};
