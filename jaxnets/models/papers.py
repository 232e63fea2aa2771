"""The papers that the networks come from: one value a paper, shared by all that cite it."""

from typing import NamedTuple


class Paper(NamedTuple):
    """A publication; `str` of it is the citation "authors, title".

    Attributes:
        authors: surnames, separated by commas; "et al." for the rest of a long list.
        title: as printed.
        year: of the first version, the preprint where there is one.

    >>> print(RESNET)
    He, Zhang, Ren, Sun, Deep Residual Learning for Image Recognition
    """

    authors: str
    title: str
    year: int

    def __str__(self) -> str:
        return f"{self.authors}, {self.title}"


MLP = Paper(
    "Rumelhart, Hinton, Williams",
    "Learning representations by back-propagating errors",
    1986,
)
LENET = Paper(
    "LeCun, Bottou, Bengio, Haffner",
    "Gradient-Based Learning Applied to Document Recognition",
    1998,
)
ALEXNET = Paper(
    "Krizhevsky, Sutskever, Hinton",
    "ImageNet Classification with Deep Convolutional Neural Networks",
    2012,
)
ALEXNET_2014 = Paper(
    "Krizhevsky",
    "One weird trick for parallelizing convolutional neural networks",
    2014,
)
ZFNET = Paper("Zeiler, Fergus", "Visualizing and Understanding Convolutional Networks", 2013)
NIN = Paper("Lin, Chen, Yan", "Network In Network", 2013)
VGG = Paper(
    "Simonyan, Zisserman",
    "Very Deep Convolutional Networks for Large-Scale Image Recognition",
    2014,
)
FITNET = Paper("Romero et al.", "FitNets: Hints for Thin Deep Nets", 2014)
GOOGLENET = Paper("Szegedy et al.", "Going Deeper with Convolutions", 2014)
BATCH_NORM = Paper(
    "Ioffe, Szegedy",
    "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
    2015,
)
INCEPTION_V3 = Paper(
    "Szegedy, Vanhoucke, Ioffe, Shlens, Wojna",
    "Rethinking the Inception Architecture for Computer Vision",
    2015,
)
RESNET = Paper("He, Zhang, Ren, Sun", "Deep Residual Learning for Image Recognition", 2015)
SQUEEZENET = Paper(
    "Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer",
    "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
    2016,
)
WIDE_RESNET = Paper("Zagoruyko, Komodakis", "Wide Residual Networks", 2016)
FRACTALNET = Paper(
    "Larsson, Maire, Shakhnarovich",
    "FractalNet: Ultra-Deep Neural Networks without Residuals",
    2016,
)
DENSENET = Paper(
    "Huang, Liu, van der Maaten, Weinberger", "Densely Connected Convolutional Networks", 2016
)
RESNEXT = Paper(
    "Xie, Girshick, Dollár, Tu, He",
    "Aggregated Residual Transformations for Deep Neural Networks",
    2016,
)
MOBILENET_V1 = Paper(
    "Howard et al.",
    "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
    2017,
)
SHUFFLENET_V1 = Paper(
    "Zhang, Zhou, Lin, Sun",
    "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices",
    2017,
)
NASNET = Paper(
    "Zoph, Vasudevan, Shlens, Le",
    "Learning Transferable Architectures for Scalable Image Recognition",
    2017,
)
SENET = Paper("Hu, Shen, Albanie, Sun, Wu", "Squeeze-and-Excitation Networks", 2017)
MOBILENET_V2 = Paper(
    "Sandler, Howard, Zhu, Zhmoginov, Chen",
    "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
    2018,
)
MOBILENET_V3 = Paper("Howard et al.", "Searching for MobileNetV3", 2019)
FCN = Paper(
    "Long, Shelhamer, Darrell", "Fully Convolutional Networks for Semantic Segmentation", 2014
)
DEEPLAB_V3 = Paper(
    "Chen, Papandreou, Schroff, Adam",
    "Rethinking Atrous Convolution for Semantic Image Segmentation",
    2017,
)
RETINANET = Paper("Lin, Goyal, Girshick, He, Dollár", "Focal Loss for Dense Object Detection", 2017)
FAST_RCNN = Paper("Girshick", "Fast R-CNN", 2015)
FASTER_RCNN = Paper(
    "Ren, He, Girshick, Sun",
    "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks",
    2015,
)
MASK_RCNN = Paper("He, Gkioxari, Dollár, Girshick", "Mask R-CNN", 2017)
FCOS = Paper("Tian, Shen, Chen, He", "FCOS: Fully Convolutional One-Stage Object Detection", 2019)
OVERFEAT = Paper(
    "Sermanet, Eigen, Zhang, Mathieu, Fergus, LeCun",
    "OverFeat: Integrated Recognition, Localization and Detection using Convolutional Networks",
    2013,
)
SRCNN = Paper(
    "Dong, Loy, He, Tang", "Image Super-Resolution Using Deep Convolutional Networks", 2014
)
YOLO_V1 = Paper(
    "Redmon, Divvala, Girshick, Farhadi",
    "You Only Look Once: Unified, Real-Time Object Detection",
    2015,
)
YOLO_V2 = Paper("Redmon, Farhadi", "YOLO9000: Better, Faster, Stronger", 2016)
YOLO_V3 = Paper("Redmon, Farhadi", "YOLOv3: An Incremental Improvement", 2018)
SSD = Paper("Liu et al.", "SSD: Single Shot MultiBox Detector", 2015)
SLIM_FACE = Paper("Linzaer", "Ultra-Light-Fast-Generic-Face-Detector-1MB", 2019)
FASTESTDET = Paper("dog-qiuqiu", "FastestDet", 2022)
SHUFFLENET_V2 = Paper(
    "Ma, Zhang, Zheng, Sun",
    "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design",
    2018,
)
VIDEO_FUSION = Paper(
    "Karpathy et al.",
    "Large-scale Video Classification with Convolutional Neural Networks",
    2014,
)
TWO_STREAM = Paper(
    "Simonyan, Zisserman",
    "Two-Stream Convolutional Networks for Action Recognition in Videos",
    2014,
)
LRCN = Paper(
    "Donahue et al.",
    "Long-term Recurrent Convolutional Networks for Visual Recognition and Description",
    2014,
)
C3D = Paper(
    "Tran, Bourdev, Fergus, Torresani, Paluri",
    "Learning Spatiotemporal Features with 3D Convolutional Networks",
    2014,
)
GRU_RCN = Paper(
    "Ballas, Yao, Pal, Courville",
    "Delving Deeper into Convolutional Networks for Learning Video Representations",
    2015,
)
I3D = Paper(
    "Carreira, Zisserman",
    "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset",
    2017,
)
R2PLUS1D = Paper(
    "Tran, Wang, Torresani, Ray, LeCun, Paluri",
    "A Closer Look at Spatiotemporal Convolutions for Action Recognition",
    2017,
)
NON_LOCAL = Paper("Wang, Girshick, Gupta, He", "Non-local Neural Networks", 2017)
S3D = Paper(
    "Xie, Sun, Huang, Tu, Murphy",
    "Rethinking Spatiotemporal Feature Learning: Speed-Accuracy Trade-offs in Video Classification",
    2017,
)
SLOWFAST = Paper("Feichtenhofer, Fan, Malik, He", "SlowFast Networks for Video Recognition", 2018)
