// Where a photograph comes from: a file, dropped or pasted, the webcam, or a head that is drawn.

import {busyMark, h, post, problemLine, upload} from './dom.js';

export function photoPicker(name, given) {
  const problem = problemLine();
  const image = h('img', {alt: `${name}, nothing chosen yet`, hidden: true});
  const video = h('video', {hidden: true, muted: true, playsinline: true, 'aria-label': 'Webcam'});
  const empty = h('p', {class: 'soft'}, 'Drop a photograph here, paste one, or choose below.');
  const picture = h('div', {class: 'picture'}, empty, image, video);
  const file = h('input', {type: 'file', accept: 'image/*', hidden: true, 'aria-label': `Photograph for ${name}`, onchange: () => { if (file.files[0]) send(file.files[0]); file.value = ''; }});
  const turn = h('input', {type: 'checkbox'});
  const take = h('button', {type: 'button', class: 'main', hidden: true, onclick: () => self.busy(() => snap().then(blob => { stop(); return send(blob); }).catch(problem.show))}, 'Take photograph');
  const live = h('button', {type: 'button', hidden: true, 'aria-pressed': 'false', onclick: () => goLive(live.getAttribute('aria-pressed') !== 'true')}, 'Live');
  const webcam = h('button', {type: 'button', onclick: () => (video.srcObject ? stop() : start())}, 'Webcam');
  let person = 0, isLive = false;
  const self = {
    held: null, picture, problem, onlive: null, busy: busyMark(picture),
    buttons: h('div', {class: 'row'},
      h('button', {type: 'button', class: 'main', onclick: () => file.click()}, 'Choose photograph'), file, webcam, take, live,
      h('button', {type: 'button', onclick: () => self.drawHead({person: person++})}, 'Drawn head'),
      h('label', {class: 'row soft', title: 'Try four turns where the photograph may lie on its side'}, turn, 'turn upright')),
    show(url) { image.src = url; image.hidden = false; video.hidden = true; empty.hidden = true; image.alt = `${name}`; image.classList.toggle('tiny', !!self.held && self.held.width <= 160); },
    take(held) { self.held = held; self.show(held.image); return given(held); },
    async drawHead(how) {
      stop();
      await attempt(() => post('/api/head', {yaw: 0, pitch: 0, roll: 0, person: 0, ...how, replaces: self.held?.drawn ? self.held.photo : ''}).then(held => ({...held, drawn: how})));
    },
    stop,
  };
  async function attempt(work) {
    problem.clear();
    await self.busy(async () => { try { await self.take(await work()); } catch (error) { problem.show(error); } });
  }
  const query = () => ({...(turn.checked ? {upright: '1'} : {}), ...(self.held ? {replaces: self.held.photo} : {})});
  const send = blob => attempt(() => upload(blob, query()));
  async function start() {
    problem.clear();
    if (!navigator.mediaDevices) { problem.show('The browser gives the webcam to pages of this machine only: open the studio as localhost.'); return; }
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({video: {width: {ideal: 640}, facingMode: 'user'}, audio: false});
      await video.play();
    } catch (error) { problem.show(`No webcam: ${error.message}`); return; }
    video.hidden = false; image.hidden = true; empty.hidden = true; take.hidden = false; live.hidden = !self.onlive; webcam.textContent = 'Stop webcam';
  }
  function stop() {
    isLive = false; live.setAttribute('aria-pressed', 'false');
    for (const track of video.srcObject?.getTracks() ?? []) track.stop();
    video.srcObject = null; video.hidden = true; take.hidden = true; live.hidden = true; webcam.textContent = 'Webcam';
    if (self.held) image.hidden = false; else empty.hidden = false;
  }
  function snap() {
    const canvas = h('canvas', {width: video.videoWidth, height: video.videoHeight});
    canvas.getContext('2d').drawImage(video, 0, 0);
    return new Promise((done, fail) => canvas.toBlob(blob => (blob ? done(blob) : fail(new Error('The webcam gives no picture yet.'))), 'image/jpeg', 0.92));
  }
  async function goLive(wanted) {
    isLive = wanted; live.setAttribute('aria-pressed', String(wanted));
    if (!wanted) { video.hidden = false; image.hidden = true; return; }
    while (isLive && video.srcObject) {
      try {
        const held = await upload(await snap(), self.held ? {replaces: self.held.photo} : {});
        if (!isLive) return;
        problem.clear(); self.held = held;
        await self.onlive(held);
      } catch (error) { problem.show(error); await new Promise(done => setTimeout(done, 300)); }
    }
  }
  for (const kind of ['dragenter', 'dragover']) picture.addEventListener(kind, event => { event.preventDefault(); picture.classList.add('over'); });
  for (const kind of ['dragleave', 'drop']) picture.addEventListener(kind, () => picture.classList.remove('over'));
  picture.addEventListener('drop', event => { event.preventDefault(); if (event.dataTransfer.files[0]) { stop(); send(event.dataTransfer.files[0]); } });
  picture.tabIndex = 0;
  picture.addEventListener('paste', event => { const found = [...event.clipboardData.files].find(item => item.type.startsWith('image/')); if (found) { stop(); send(found); } });
  return self;
}
