"""How each table of an evaluation is to be read: what stands above it."""

INTERVAL = (
    "Intervals are 95 % bootstrap intervals over test groups, widened for few groups as Student's t is; there is none "
    "where all groups agree. A deviation (sd) is that of the seeds, and is empty where there is one."
)
JUDGED = (
    "A labelled video without what a row needs counts as wrong, in validation as in test; judged is how many test "
    "videos had it. "
)
ABLATION = (
    "softmax: of one stream, its recurrent network's own head; of several, a softmax layer on their embeddings. "
    "svm: the linear SVM on them. average: the mean of the streams' softmax outputs. Every row has the normalisation, "
    "L2 weight and rule for missing streams that are its own best on validation. 'svm, refitted', with fusion.refit: "
    "the fused SVM fitted again on train and validation together; it has no validation figure, and had more to "
    "learn from than the other rows. The row marked best is the best on validation, the test split having no say. "
    + JUDGED
    + INTERVAL
)
TABLE1 = (
    "The row marked best is the best on validation, the test split having no say, of the rows of which no seed was "
    "stopped or failed: the seeds that others have left were chosen by how they did. Differences are of test top-1 "
    "from that row; a row is better or worse than it where the interval misses 0. Intervals are not adjusted for so "
    "many comparisons, so one in twenty would miss 0 by chance. "
    "The paper's own figures are for the 101 classes of UCF101, split 1. " + JUDGED + INTERVAL
)
SVM = (
    "Fitted on the training videos, chosen on the validation videos, whose groups no network was fitted on; the test "
    "split has no part in it. lambda is the L2 weight of lambda |w|^2 + mean hinge loss, 0.01 in the paper. Of equals "
    "the one with the most streams is taken, then the lambda nearest to the paper's. A deviation (sd) is that of the "
    "seeds. Fusion uses the row marked chosen."
)
TABLE2 = (
    "The paper's figures are for UCF101, split 1, with pretrained networks; checked is what the systems' own papers "
    "report. They are comparable with the figures here only where data and weights are the same. The row marked chosen "
    "is the way to judge that is best on validation, by which a system is compared; a way that is called like a stream "
    "is that stream's network alone. Differences are of test top-1 from the proposed model; a row is better or worse "
    "than it where the interval misses 0. What multi-stream learns on validation is judged there by folds of groups, "
    "too strictly where a class has few groups. Its weights are free, or pulled to a prior that its networks' errors "
    "make, or both that and sparse; with one group of validation videos only the mean is judged. "
    "A system that is out of date has judged other videos than there are now; run `actionrec baseline` again. "
    "'svm, refitted' was fitted on validation videos too, which no baseline was. " + JUDGED + INTERVAL
)
CLASSES = "Of the first seed."
