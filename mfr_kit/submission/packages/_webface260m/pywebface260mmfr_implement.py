"""What the WebFace260M server imports: detection, alignment and embedding of one photograph on
one CPU thread.
"""

import json
import os

import cv2
import numpy as np
from face_detection import FaceDetector, align, open_session, pick


class PyWebFace260M:
    def load(self, rdir):
        """Load the models below `rdir`."""
        cv2.setNumThreads(1)
        self.detector = FaceDetector(os.path.join(rdir, "assets", "det", "yunet.onnx"))
        self.session = open_session(os.path.join(rdir, "assets", "face_reg", "model.onnx"))
        with open(os.path.join(rdir, "assets", "face_reg", "pixels.json")) as file:
            pixels = json.load(file)
        self.mean, self.std = (np.array(pixels[key], np.float32) for key in ("mean", "std"))
        self.order = pixels.get("order", "rgb")
        self.size = self.embed(np.zeros((112, 112, 3), np.uint8)).shape[0]

    def get_feature(self, image):
        """(H, W, 3) uint8 BGR photograph -> (D,) float32; zeros where no face is found."""
        faces = self.detector.detect(image)
        if len(faces) == 0:
            return np.zeros(self.size, np.float32)
        return self.embed(align(image, pick(faces, image.shape)[4:14].reshape(5, 2)))

    def get_sim(self, f1, f2):
        """Cosine of two features; 0 where one is of no face."""
        norms = float(np.linalg.norm(f1) * np.linalg.norm(f2))
        return float(np.dot(f1, f2)) / norms if norms > 0 else 0.0

    def embed(self, face):
        """(112, 112, 3) uint8 BGR -> (D,) float32."""
        ordered = (face if self.order == "bgr" else face[:, :, ::-1]).astype(np.float32)
        planes = np.ascontiguousarray(((ordered - self.mean) / self.std).transpose(2, 0, 1)[None])
        return self.session.run(None, {self.session.get_inputs()[0].name: planes})[0][0]
