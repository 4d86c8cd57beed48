// The question for the server's bearer token.

const dialog = document.getElementById("token-dialog");
const field = document.getElementById("token");

/**
 * Ask for it.
 * @param {boolean} refused whether one was given that the server did not take.
 * @returns {Promise<?string>} null where the person gives none.
 */
export function askForToken(refused) {
  document.getElementById("token-refused").hidden = !refused;
  field.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = field.value.trim();
      field.value = "";
      resolve(dialog.returnValue === "given" && given ? given : null);
    }, { once: true });
  });
}

document.getElementById("token-cancel").addEventListener("click", () => dialog.close(""));
