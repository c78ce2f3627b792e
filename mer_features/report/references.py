"""Parts of the methods section: paragraphs, references and their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

REFERENCES = {
    "libfacedetection": "W. Wu, H. Peng, S. Yu. YuNet: a tiny millisecond-level face detector. Machine Intelligence "
    "Research, 2023. doi:10.1007/s11633-023-1423-y",
    "dlib_hog": "N. Dalal, B. Triggs. Histograms of oriented gradients for human detection. CVPR, 2005. "
    "doi:10.1109/CVPR.2005.177",
    "landmarks": "V. Kazemi, J. Sullivan. One millisecond face alignment with an ensemble of regression trees. CVPR, "
    "2014. doi:10.1109/CVPR.2014.241",
    "lk": "B. D. Lucas, T. Kanade. An iterative image registration technique with an application to stereo vision. "
    "IJCAI, 1981",
    "ecc": "G. D. Evangelidis, E. Z. Psarakis. Parametric image alignment using enhanced correlation coefficient "
    "maximization. IEEE TPAMI, 2008. doi:10.1109/TPAMI.2008.113",
    "fr": "L. Zhou, Q. Mao, X. Huang, F. Zhang, Z. Zhang. Feature refinement: an expression-specific feature learning "
    "and fusion method for micro-expression recognition. Pattern Recognition, 2022. doi:10.1016/j.patcog.2021.108275",
    "sa_at": "L. Zhou, Q. Mao, L. Xue. Cross-database micro-expression recognition: a style aggregated and attention "
    "transfer approach. ICME Workshops, 2019",
    "reinhard": "E. Reinhard, M. Ashikhmin, B. Gooch, P. Shirley. Color transfer between images. IEEE Computer "
    "Graphics and Applications, 2001. doi:10.1109/38.946629",
    "fda": "Y. Yang, S. Soatto. FDA: Fourier domain adaptation for semantic segmentation. CVPR, 2020. "
    "doi:10.1109/CVPR42600.2020.00414",
    "san": "X. Dong, Y. Yan, W. Ouyang, Y. Yang. Style aggregated network for facial landmark detection. CVPR, 2018. "
    "doi:10.1109/CVPR.2018.00047",
    "cyclegan": "J.-Y. Zhu, T. Park, P. Isola, A. A. Efros. Unpaired image-to-image translation using cycle-consistent "
    "adversarial networks. ICCV, 2017. doi:10.1109/ICCV.2017.244",
    "clahe": "K. Zuiderveld. Contrast limited adaptive histogram equalization. Graphics Gems IV, 1994",
    "riesz": "N. Wadhwa, M. Rubinstein, F. Durand, W. T. Freeman. Riesz pyramids for fast phase-based video "
    "magnification. ICCP, 2014. doi:10.1109/ICCPHOT.2014.6831820",
    "eulerian": "H.-Y. Wu, M. Rubinstein, E. Shih, J. Guttag, F. Durand, W. T. Freeman. Eulerian video magnification "
    "for revealing subtle changes in the world. ACM TOG, 2012. doi:10.1145/2185520.2185561",
    "oh2018": "T.-H. Oh et al. Learning-based video motion magnification. ECCV, 2018. doi:10.1007/978-3-030-01225-0_39",
    "tvl1": "C. Zach, T. Pock, H. Bischof. A duality based approach for realtime TV-L1 optical flow. DAGM, 2007. "
    "doi:10.1007/978-3-540-74936-3_22",
    "farneback": "G. Farnebäck. Two-frame motion estimation based on polynomial expansion. SCIA, 2003. "
    "doi:10.1007/3-540-45103-X_50",
    "dis": "T. Kroeger, R. Timofte, D. Dai, L. Van Gool. Fast optical flow using dense inverse search. ECCV, 2016. "
    "doi:10.1007/978-3-319-46493-0_29",
    "strain": "M. Shreve, S. Godavarthy, V. Manohar, D. Goldgof, S. Sarkar. Towards macro- and micro-expression "
    "spotting in video using strain patterns. WACV, 2009. doi:10.1109/WACV.2009.5403044",
    "megc2019": "J. See, M. H. Yap, J. Li, X. Hong, S.-J. Wang. MEGC 2019: the second facial micro-expressions grand "
    "challenge. FG, 2019. doi:10.1109/FG.2019.8756611",
    "tsne": "L. van der Maaten, G. Hinton. Visualizing data using t-SNE. Journal of Machine Learning Research, 2008",
    "ststnet": "S.-T. Liong, Y. S. Gan, J. See, H.-Q. Khor, Y.-C. Huang. Shallow triple stream three-dimensional CNN "
    "(STSTNet) for micro-expression recognition. FG, 2019. doi:10.1109/FG.2019.8756567",
    "off_apexnet": "Y. S. Gan, S.-T. Liong, W.-C. Yau, Y.-C. Huang, L.-K. Tan. OFF-ApexNet on micro-expression "
    "recognition system. Signal Processing: Image Communication, 2019. doi:10.1016/j.image.2019.02.005",
    "dual_inception": "L. Zhou, Q. Mao, L. Xue. Dual-Inception network for cross-database micro-expression "
    "recognition. FG, 2019. doi:10.1109/FG.2019.8756579",
    "lbp_top": "G. Zhao, M. Pietikäinen. Dynamic texture recognition using local binary patterns with an application "
    "to facial expressions. IEEE TPAMI, 2007. doi:10.1109/TPAMI.2007.1110",
    "bi_woof": "S.-T. Liong, J. See, K. Wong, R. C.-W. Phan. Less is more: micro-expression recognition from video "
    "using apex frame. Signal Processing: Image Communication, 2018. doi:10.1016/j.image.2017.11.006",
    "hog_top": "X. Li et al. Towards reading hidden emotions: a comparative study of spontaneous micro-expression "
    "spotting and recognition methods. IEEE Transactions on Affective Computing, 2018. doi:10.1109/TAFFC.2017.2667642",
    "mdmo": "Y.-J. Liu et al. A main directional mean optical flow feature for spontaneous micro-expression "
    "recognition. IEEE Transactions on Affective Computing, 2016. doi:10.1109/TAFFC.2015.2485205",
    "capsulenet": "N. V. Quang, J. Chun, T. Tokuyama. CapsuleNet for micro-expression recognition. FG, 2019. "
    "doi:10.1109/FG.2019.8756544",
    "alexnet": "A. Krizhevsky. One weird trick for parallelizing convolutional neural networks. arXiv:1404.5997, 2014",
    "googlenet": "C. Szegedy et al. Going deeper with convolutions. CVPR, 2015. doi:10.1109/CVPR.2015.7298594",
    "vgg16": "K. Simonyan, A. Zisserman. Very deep convolutional networks for large-scale image recognition. ICLR, "
    "2015",
    "svm": "C. Cortes, V. Vapnik. Support-vector networks. Machine Learning, 1995. doi:10.1007/BF00994018",
    "eidnet": "S. Wang et al. EIDNet: expression-identity disentanglement network for micro-expression recognition",
    "map_mer": "B.-K. Ruan, L. Lo, H.-H. Shuai, W.-H. Cheng. Mimicking the annotation process for recognizing the "
    "micro expressions. ACM Multimedia, 2022. doi:10.1145/3503161.3548185",
    "ma2mi": "H. Li, H. Niu, F. Zhao. From macro to micro: boosting micro-expression recognition via pre-training on "
    "macro-expression videos",
    "dit": "W. Peebles, S. Xie. Scalable diffusion models with transformers. ICCV, 2023. "
    "doi:10.1109/ICCV51070.2023.00387",
    "latent": "R. Rombach, A. Blattmann, D. Lorenz, P. Esser, B. Ommer. High-resolution image synthesis with latent "
    "diffusion models. CVPR, 2022. doi:10.1109/CVPR52688.2022.01042",
    "attention_transfer": "S. Zagoruyko, N. Komodakis. Paying more attention to attention: improving the performance "
    "of convolutional neural networks via attention transfer. ICLR, 2017",
    "snakemake": "F. Mölder et al. Sustainable data analysis with Snakemake. F1000Research, 2021. "
    "doi:10.12688/f1000research.29032.2",
}


@dataclass
class Citations:
    """Numbers the references in the order in which they are first cited."""

    used: list[str] = field(default_factory=list)

    def __call__(self, *keys: str) -> str:
        """The numbers of some references, in brackets."""
        for key in keys:
            if key not in self.used:
                self.used.append(key)
        return "[" + ", ".join(str(self.used.index(key) + 1) for key in keys) + "]"


@dataclass(frozen=True)
class Paragraph:
    """One step: a sentence, and a list if the step ran several times with different settings."""

    step: str
    sentence: str
    items: Sequence[str] = ()


def descriptor_source(name: str) -> str:
    """Reference of a handcrafted descriptor."""
    family = name.split("_", maxsplit=1)[0]
    return {"lbp": "lbp_top", "hog": "hog_top", "higo": "hog_top"}.get(family, name)


def descriptor_text(name: str) -> str:
    """A handcrafted descriptor in words."""
    if name in ("bi_woof", "mdmo"):
        return f"{'Bi-WOOF' if name == 'bi_woof' else 'MDMO'} of the flow from onset to apex"
    family, _, *given = name.split("_")
    setting = {"r": "R and P as named: ", "p": "bins as named: "}.get(given[0][0], "") + given[0] if given else ""
    return f"{family.upper()}-TOP of the frames from onset to offset" + (f" ({setting})" if setting else "")
